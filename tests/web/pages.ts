/* Pages with known contents, and what they must show, computed from the plain sample lines that the
 * fixture writes beside each page: by string keys and loops, with none of the viewer's code. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { decode } from '../../web/src/data/decode';
import type { Profile } from '../../web/src/data/profile';

const here = dirname(fileURLToPath(import.meta.url));
const build = resolve(process.env.SCRY_BUILD ?? join(here, '../../build'));
const folder = mkdtempSync(join(tmpdir(), 'scry-pages-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

export interface PlainFrame {
  kind: string;
  flags: number;
  line: number;
  name: string;
}

export interface PlainSample {
  thread: number;
  time: number; /* ns */
  values: number[];
  frames: PlainFrame[]; /* root first */
}

export interface Page {
  path: string;
  html: string;
  samples: PlainSample[];
}

function parse(path: string): PlainSample[] {
  return readFileSync(path, 'latin1')
    .split('\f\n')
    .filter(Boolean)
    .map((text): PlainSample => {
      const [head, ...frames] = text.split('\f');
      const [thread, time, values] = head.split('\t');
      return {
        thread: Number(thread),
        time: Number(time),
        values: values.split(',').map(Number),
        frames: frames.map((f) => {
          const [kind_, flags, line, ...name] = f.split('\t');
          return { kind: kind_, flags: Number(flags), line: Number(line), name: name.join('\t') };
        }),
      };
    });
}

const made = new Map<string, Page>();

export function page(kind: string): Page {
  let p = made.get(kind);
  if (p) return p;
  const path = join(folder, `${kind.replace(':', '-')}.html`);
  const lines = `${path}.txt`;
  execFileSync(join(build, 'tests/web/web_fixture'), [kind, path, lines]);
  let samples: PlainSample[] | null = null;
  p = {
    path,
    html: readFileSync(path, 'utf8'),
    get samples() {
      return (samples ??= parse(lines));
    },
  };
  made.set(kind, p);
  return p;
}

export function blockOf(p: Page): Uint8Array {
  const text = /<script type="text\/plain" id="scry-profile">([^<]*)<\/script>/.exec(p.html);
  if (!text) throw new Error('the page holds no profile');
  return gunzipSync(Buffer.from(text[1], 'base64'));
}

export function profileOf(p: Page): Profile {
  return decode(blockOf(p));
}

export const INTERNAL = 4;

/* Frames as the page shows them by default. */
export function shown(s: PlainSample, internal = false): PlainFrame[] {
  return internal ? s.frames : s.frames.filter((f) => !(f.flags & INTERNAL));
}

export function sum(samples: PlainSample[], value: number, test: (s: PlainSample) => boolean = () => true): number {
  let total = 0;
  for (const s of samples) if (test(s)) total += Math.max(0, s.values[value]);
  return total;
}

/* Self and total by name, each sample counted once for a name. */
export function byName(samples: PlainSample[], value: number, internal = false) {
  const result = new Map<string, { self: number; total: number }>();
  for (const s of samples) {
    const frames = shown(s, internal);
    const v = Math.max(0, s.values[value]);
    for (const name of new Set(frames.map((f) => f.name))) {
      const entry = result.get(name) ?? { self: 0, total: 0 };
      entry.total += v;
      if (frames[frames.length - 1].name === name) entry.self += v;
      result.set(name, entry);
    }
  }
  return result;
}

/* Direct callers or callees of a name, each sample counted once for each. "" is "none". */
export function edges(samples: PlainSample[], value: number, name: string, direction: 'callers' | 'callees') {
  const result = new Map<string, number>();
  for (const s of samples) {
    const names = shown(s).map((f) => f.name);
    const found = new Set<string>();
    names.forEach((n, i) => {
      if (direction === 'callers' && n === name) found.add(i ? names[i - 1] : '');
      if (direction === 'callees' && n === name && i + 1 < names.length) found.add(names[i + 1]);
    });
    for (const n of found) result.set(n, (result.get(n) ?? 0) + Math.max(0, s.values[value]));
  }
  return result;
}
