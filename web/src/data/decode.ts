/* Reads the data block of a page; its layout is described in src/format/html_payload.h. */
import { INLINED, APPROXIMATE, INTERNAL, MARK, UNNAMED, type Profile, type Quality, type Sym, type Thread } from './profile';

class Columns {
  at: number;
  constructor(readonly data: Uint8Array, start: number) {
    this.at = start;
  }

  private byte(): number {
    if (this.at >= this.data.length) throw new Error('the profile ends too early');
    return this.data[this.at++];
  }

  /* Exact up to 2^53; larger values lose their last digits, which no picture shows. */
  private varint(): number {
    let v = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const b = this.byte();
      v += (b & 0x7f) * scale;
      if (b < 0x80) return v;
      scale *= 128;
    }
    throw new Error('the profile is damaged');
  }

  private zigzag(): number {
    const v = this.varint();
    return v % 2 ? -(v + 1) / 2 : v / 2;
  }

  read<T extends Int32Array | Float64Array | Uint8Array>(make: (n: number) => T, expected: number): T {
    const n = this.varint();
    if (expected >= 0 && n !== expected) throw new Error('the profile has columns of different lengths');
    const encoding = this.byte();
    if (n > 0 && encoding !== 0 && n > this.data.length - this.at) throw new Error('the profile ends too early');
    const out = make(n);
    if (encoding === 0) {
      if (n) out.fill(this.zigzag());
    } else if (encoding === 1) for (let i = 0; i < n; i++) out[i] = this.varint();
    else if (encoding === 2) for (let i = 0; i < n; i++) out[i] = this.zigzag();
    else if (encoding === 3) for (let i = 0, v = 0; i < n; i++) out[i] = v += this.zigzag();
    else throw new Error('the profile was written by a newer scry');
    return out;
  }
}

const ints = (n: number) => new Int32Array(n);
const doubles = (n: number) => new Float64Array(n);
const bytes = (n: number) => new Uint8Array(n);

/* Control characters and direction overrides in a name could hide or reorder the text around it. */
export function harmless(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, '\ufffd');
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

interface FrameColumns {
  func: Int32Array;
  line: Int32Array;
  kind: Int32Array;
  module: Int32Array;
  flags: Uint8Array;
}

export function threadTitle(t: Thread): string {
  if (!t.pid && !t.tid) return t.name || t.process || 'unknown thread';
  const process = `${t.process || 'process'} ${t.pid}`;
  const named = t.name !== '' && t.name !== t.process;
  /* What tells it apart comes first: the end may not fit. */
  return named || t.tid !== t.pid ? `${named ? t.name : 'thread'} ${t.tid} in ${process}` : process;
}

/* Frames of one function and one kind share a symbol. */
function makeSyms(strings: string[], fname: Int32Array, ffile: Int32Array, fstart: Int32Array, frames: FrameColumns) {
  const syms: Sym[] = [{ name: 'all', file: '', startLine: 0, kind: '', module: '', flags: 0 }];
  const frameSym = new Int32Array(frames.func.length);
  const known = new Map<string, number>();
  for (let i = 1; i < frames.func.length; i++) {
    const f = frames.func[i];
    const flags = frames.flags[i];
    const nameless = !strings[fname[f]];
    const key = `${f}:${frames.kind[i]}:${flags & (INTERNAL | MARK)}:${nameless ? frames.module[i] : ''}`;
    let id = known.get(key);
    if (id === undefined) {
      id = syms.length;
      known.set(key, id);
      const module = strings[frames.module[i]] ?? '';
      syms.push({
        name: strings[fname[f]] || (module ? `[${baseName(module)}]` : '[unknown]'),
        file: strings[ffile[f]] ?? '',
        startLine: fstart[f],
        kind: strings[frames.kind[i]] || 'unknown',
        module,
        flags: flags | (nameless ? UNNAMED : 0),
      });
    } else {
      syms[id].flags &= flags | ~(INLINED | APPROXIMATE | UNNAMED);
    }
    frameSym[i] = id;
  }
  return { syms, frameSym };
}

function checkIds(name: string, ids: ArrayLike<number>, limit: number): void {
  for (let i = 0; i < ids.length; i++)
    if (!(ids[i] >= 0 && ids[i] < limit)) throw new Error(`the profile is damaged: ${name} ${ids[i]} is not in its table`);
}

export function decode(block: Uint8Array): Profile {
  const text = new TextDecoder();
  if (text.decode(block.subarray(0, 8)) !== 'scryweb1') throw new Error('the profile was written by a newer scry');
  const length = new DataView(block.buffer, block.byteOffset).getUint32(8, true);
  const head = JSON.parse(text.decode(block.subarray(12, 12 + length)));
  const strings: string[] = (head.strings as string[]).map(harmless);
  const c = new Columns(block, 12 + length);

  const fname = c.read(ints, -1);
  const ffile = c.read(ints, fname.length);
  const fstart = c.read(ints, fname.length);
  const func = c.read(ints, -1);
  const frames = {
    func,
    line: c.read(ints, func.length),
    kind: c.read(ints, func.length),
    module: c.read(ints, func.length),
    flags: c.read(bytes, func.length),
  };
  const stackParent = c.read(ints, -1);
  for (let i = 0; i < stackParent.length; i++) stackParent[i] = i - stackParent[i];
  const stackFrame = c.read(ints, stackParent.length);
  const sampleStack = c.read(ints, -1);
  const sampleThread = c.read(ints, sampleStack.length);
  const sampleTime = c.read(doubles, sampleStack.length);
  const sampleValues = (head.valueTypes as unknown[]).map(() => c.read(doubles, sampleStack.length));

  for (const [name, ids, limit] of [
    ['string', fname, strings.length],
    ['string', ffile, strings.length],
    ['function', func, fname.length],
    ['string', frames.kind, strings.length],
    ['string', frames.module, strings.length],
    ['frame', stackFrame, func.length],
    ['stack', stackParent, Math.max(1, stackParent.length)],
    ['stack', sampleStack, stackParent.length],
    ['thread', sampleThread, head.threads.length],
  ] as const)
    checkIds(name, ids, limit);
  for (let i = 1; i < stackParent.length; i++)
    if (stackParent[i] >= i) throw new Error('the profile is damaged: a stack comes before its parent');

  const { syms, frameSym } = makeSyms(strings, fname, ffile, fstart, frames);
  const threads = (head.threads as [number, number, string, string, string, string][]).map(
    ([pid, tid, process, name, container, runtime]) => ({
      pid,
      tid,
      process: harmless(process),
      name: harmless(name),
      container: harmless(container),
      runtime: harmless(runtime),
    }),
  );
  const firstThreadSym = syms.length;
  for (const t of threads)
    syms.push({ name: threadTitle(t), file: '', startLine: 0, kind: 'thread', module: '', flags: MARK });
  const quality = head.quality as Quality;
  for (const q of quality.truncated) q.reason = harmless(q.reason);
  quality.notes = quality.notes.map(harmless);
  return {
    ...head,
    command: harmless(head.command),
    host: harmless(head.host),
    valueTypes: head.valueTypes.map((v: { type: string; unit: string }) => ({ type: harmless(v.type), unit: harmless(v.unit) })),
    threads,
    firstThreadSym,
    syms,
    frameSym,
    frameLine: frames.line,
    frameFlags: frames.flags,
    stackParent,
    stackFrame,
    sampleStack,
    sampleThread,
    sampleTime,
    sampleValues,
  };
}
