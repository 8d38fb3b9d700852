/* Unpacks gzip. Browsers do it themselves with DecompressionStream; `inflate` is for those that cannot. */

const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

interface Huffman {
  count: Uint16Array; /* codes of each length */
  symbol: Uint16Array; /* symbols ordered by code */
}

function huffman(lengths: ArrayLike<number>): Huffman {
  const count = new Uint16Array(16);
  for (let i = 0; i < lengths.length; i++) count[lengths[i]]++;
  count[0] = 0;
  const next = new Uint16Array(16);
  for (let i = 1; i < 15; i++) next[i + 1] = next[i] + count[i];
  const symbol = new Uint16Array(lengths.length);
  for (let i = 0; i < lengths.length; i++) if (lengths[i]) symbol[next[lengths[i]]++] = i;
  return { count, symbol };
}

class Reader {
  at = 0;
  private hold = 0;
  private held = 0;
  constructor(readonly data: Uint8Array) {}

  bits(n: number): number {
    while (this.held < n) {
      if (this.at >= this.data.length) throw new Error('the profile ends too early');
      this.hold |= this.data[this.at++] << this.held;
      this.held += 8;
    }
    const v = this.hold & ((1 << n) - 1);
    this.hold >>>= n;
    this.held -= n;
    return v;
  }

  alignToByte(): void {
    this.hold = this.held = 0;
  }

  code(h: Huffman): number {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= 15; length++) {
      code |= this.bits(1);
      const count = h.count[length];
      if (code - count < first) return h.symbol[index + (code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new Error('the profile is damaged');
  }
}

class Output {
  data = new Uint8Array(1 << 16);
  length = 0;

  room(n: number): void {
    if (this.length + n <= this.data.length) return;
    const bigger = new Uint8Array(Math.max(this.data.length * 2, this.length + n));
    bigger.set(this.data);
    this.data = bigger;
  }
}

function stored(r: Reader, out: Output): void {
  r.alignToByte();
  const n = r.data[r.at] | (r.data[r.at + 1] << 8);
  r.at += 4;
  if (r.at + n > r.data.length) throw new Error('the profile ends too early');
  out.room(n);
  out.data.set(r.data.subarray(r.at, r.at + n), out.length);
  out.length += n;
  r.at += n;
}

function fixedCodes(): [Huffman, Huffman] {
  const lengths = new Uint8Array(288);
  lengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280);
  return [huffman(lengths), huffman(new Uint8Array(30).fill(5))];
}

function dynamicCodes(r: Reader): [Huffman, Huffman] {
  const literals = r.bits(5) + 257;
  const distances = r.bits(5) + 1;
  const codes = r.bits(4) + 4;
  const lengths = new Uint8Array(320);
  for (let i = 0; i < codes; i++) lengths[CODE_ORDER[i]] = r.bits(3);
  const meta = huffman(lengths.slice(0, 19));
  lengths.fill(0);
  for (let i = 0; i < literals + distances; ) {
    const symbol = r.code(meta);
    if (symbol < 16) {
      lengths[i++] = symbol;
      continue;
    }
    const value = symbol === 16 ? lengths[i - 1] : 0;
    const repeat = symbol === 16 ? 3 + r.bits(2) : symbol === 17 ? 3 + r.bits(3) : 11 + r.bits(7);
    if (i + repeat > literals + distances) throw new Error('the profile is damaged');
    lengths.fill(value, i, i + repeat);
    i += repeat;
  }
  return [huffman(lengths.slice(0, literals)), huffman(lengths.slice(literals, literals + distances))];
}

function copyBack(out: Output, length: number, distance: number): void {
  if (distance > out.length) throw new Error('the profile is damaged');
  out.room(length);
  for (let i = 0; i < length; i++, out.length++) out.data[out.length] = out.data[out.length - distance];
}

function compressed(r: Reader, out: Output, [literal, distance]: [Huffman, Huffman]): void {
  for (;;) {
    const symbol = r.code(literal);
    if (symbol === 256) return;
    if (symbol < 256) {
      out.room(1);
      out.data[out.length++] = symbol;
      continue;
    }
    const length = LENGTH_BASE[symbol - 257] + r.bits(LENGTH_EXTRA[symbol - 257]);
    const d = r.code(distance);
    copyBack(out, length, DISTANCE_BASE[d] + r.bits(d < 4 ? 0 : (d >> 1) - 1));
  }
}

/* gzip as scry writes it: a ten-byte header without optional fields. */
export function inflate(gzip: Uint8Array): Uint8Array {
  const r = new Reader(gzip);
  if (gzip.length < 18 || gzip[0] !== 0x1f || gzip[1] !== 0x8b || gzip[3] !== 0) throw new Error('the profile is not gzip');
  r.at = 10;
  const out = new Output();
  for (let last = 0; !last; ) {
    last = r.bits(1);
    const type = r.bits(2);
    if (type === 0) stored(r, out);
    else if (type === 1) compressed(r, out, fixedCodes());
    else if (type === 2) compressed(r, out, dynamicCodes(r));
    else throw new Error('the profile is damaged');
  }
  return out.data.subarray(0, out.length);
}

export async function gunzip(gzip: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (typeof DecompressionStream === 'undefined') return inflate(gzip);
  const stream = new Blob([gzip]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
