/* What the quality counts mean: one word, the reasons for it, and the numbers behind it. */
import type { Profile } from '../data/profile';
import { bytes, count, duration, percent } from './format';

export type Grade = 'good' | 'care' | 'poor' | 'unknown';

export interface Verdict {
  grade: Grade;
  word: string;
  facts: string[]; /* one line, most important first */
  reasons: string[]; /* why it is not good, with what it means */
  details: { name: string; value: string; note?: string }[];
}

interface Rule {
  share: number;
  care: number;
  poor: number;
  text: string;
}

function rulesOf(p: Profile): Rule[] {
  const q = p.quality;
  return [
    {
      share: q.lost / Math.max(1, q.taken + q.lost),
      care: 0.01,
      poor: 0.1,
      text: `${count(q.lost)} samples were lost: busy moments are under-counted`,
    },
    {
      share: 1 - q.whole / Math.max(1, q.taken),
      care: 0.01,
      poor: 0.1,
      text: `${count(q.taken - q.whole)} stacks do not reach their thread's root: their callers are missing`,
    },
    {
      share: q.unnamed / Math.max(1, q.frames),
      care: 0.05,
      poor: 0.3,
      text: `${percent(q.unnamed, q.frames)} of frames have no name`,
    },
    {
      share: q.slowdown ?? 0,
      care: 0.02,
      poor: 0.1,
      text: `the target may have run up to ${percent(q.slowdown ?? 0, 1)} slower`,
    },
  ];
}

/* The half-width of a 95 % interval around a share of one half: the widest there is. */
function margin(samples: number): string {
  return `\u00b1${Math.max(0.1, 98 / Math.sqrt(samples)).toFixed(1)} points`;
}

function detailsOf(p: Profile): Verdict['details'] {
  const q = p.quality;
  const list: Verdict['details'] = [
    { name: 'Samples taken', value: count(q.taken), note: `any share is within ${margin(q.taken)} (95 %)` },
    { name: 'Samples lost', value: `${count(q.lost)} (${percent(q.lost, q.taken + q.lost)})` },
    { name: 'Whole stacks', value: `${count(q.whole)} (${percent(q.whole, q.taken)})` },
  ];
  for (const t of q.truncated) list.push({ name: `Cut: ${t.reason}`, value: `${count(t.count)} (${percent(t.count, q.taken)})` });
  list.push(
    { name: 'Frames', value: count(q.frames), note: q.taken ? `${(q.frames / q.taken).toFixed(1)} per stack` : undefined },
    { name: 'Frames without a name', value: `${count(q.unnamed)} (${percent(q.unnamed, q.frames)})` },
    {
      name: 'Approximate frames',
      value: `${count(q.approximate)} (${percent(q.approximate, q.frames)})`,
      note: 'found by frame pointer only',
    },
  );
  if (p.period) list.push({ name: 'Mean sampling period', value: duration(p.period), note: `${(1e9 / p.period).toFixed(1)} Hz` });
  const share = p.duration ? ` (${percent(q.selfCpu, p.duration)} of one core)` : '';
  if (q.selfCpu) list.push({ name: 'CPU time of scry', value: duration(q.selfCpu) + share });
  if (q.selfRss) list.push({ name: 'Memory of scry', value: bytes(q.selfRss), note: q.selfMaps ? `and ${bytes(q.selfMaps)} in the kernel` : undefined });
  if (q.probeRuns)
    list.push({ name: 'Time per sample in the target', value: duration(q.probeTime / q.probeRuns), note: `${duration(q.probeTime)} in all` });
  list.push({ name: 'Slowdown of the target', value: q.slowdown === null || q.slowdown < 0 ? 'not known' : `at most ${percent(q.slowdown, 1)}` });
  return list;
}

export function judge(p: Profile): Verdict {
  const q = p.quality;
  if (!q.taken) {
    const n = p.sampleStack.length;
    return {
      grade: n ? 'unknown' : 'poor',
      word: n ? 'Quality not recorded' : 'No samples',
      facts: n ? [`${count(n)} stacks`] : ['nothing ran on a CPU while scry looked, or it could not see it'],
      reasons: n ? ['This profile comes from a tool that does not say how good its data is'] : [],
      details: [],
    };
  }
  let worst = 0;
  const reasons: string[] = [];
  const raise = (level: number, text: string) => {
    worst = Math.max(worst, level);
    if (level) reasons.push(text);
  };
  raise(q.taken < 20 ? 2 : q.taken < 200 ? 1 : 0, `only ${count(q.taken)} samples: shares are within ${margin(q.taken)}; capture for longer`);
  for (const r of rulesOf(p)) raise(r.share > r.poor ? 2 : r.share > r.care ? 1 : 0, r.text);
  const facts = [
    `${count(q.taken)} samples`,
    `${q.lost ? percent(q.lost, q.taken + q.lost) : 'none'} lost`,
    `${percent(q.whole, q.taken)} of stacks whole`,
    `${percent(q.unnamed, q.frames)} of frames unnamed`,
  ];
  if (q.slowdown !== null && q.slowdown >= 0) facts.push(`target slowed by at most ${percent(q.slowdown, 1)}`);
  return {
    grade: (['good', 'care', 'poor'] as const)[worst],
    word: ['Good data', 'Read with care', 'Poor data'][worst],
    facts,
    reasons,
    details: detailsOf(p),
  };
}
