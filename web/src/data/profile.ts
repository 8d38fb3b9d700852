/* The profile as the page holds it: small things as objects, large things as columns. */

export const INLINED = 1;
export const APPROXIMATE = 2;
export const INTERNAL = 4;
export const MARK = 8;
export const UNNAMED = 16;

export interface ValueType {
  type: string;
  unit: string;
}

export interface Thread {
  pid: number;
  tid: number;
  process: string;
  name: string;
  container: string;
  runtime: string;
}

export interface Quality {
  taken: number;
  lost: number;
  whole: number;
  truncated: { reason: string; count: number }[];
  frames: number;
  unnamed: number;
  approximate: number;
  selfCpu: number;
  selfRss: number;
  selfMaps: number;
  probeTime: number;
  probeRuns: number;
  slowdown: number | null;
  notes: string[];
}

/* What scry makes of the quality, by the rules of its terminal output (src/analyse/verdict.c). */
export interface Verdict {
  grade: 'good' | 'fair' | 'poor';
  sentence: string;
  complete_is_known: boolean;
  samples: number;
  samples_are_known: boolean;
  margin_points: number;
  concerns: { grade: 'fair' | 'poor'; text: string; advice: string }[];
}

/* What one box stands for: a function in one kind of code. Frames on different lines share it. */
export interface Sym {
  name: string;
  file: string;
  startLine: number;
  kind: string;
  module: string;
  flags: number; /* those that all its frames share; INTERNAL and MARK are part of its identity */
}

export interface Profile {
  generator: string;
  command: string;
  host: string;
  startMs: number;
  duration: number; /* ns */
  period: number;
  timeUnit: number; /* ns of one step of sampleTime */
  showInternal: boolean;
  byThread: boolean;
  valueTypes: ValueType[];
  defaultValue: number;
  quality: Quality;
  verdict: Verdict;
  threads: Thread[];

  syms: Sym[]; /* 0 is the root */
  firstThreadSym: number; /* thread i is symbol firstThreadSym + i */
  frameSym: Int32Array;
  frameLine: Int32Array;
  frameFlags: Uint8Array;
  stackParent: Int32Array; /* parents have smaller ids; 0 is the empty stack */
  stackFrame: Int32Array;

  sampleStack: Int32Array;
  sampleThread: Int32Array;
  sampleTime: Float64Array;
  sampleValues: Float64Array[]; /* by value type */
}
