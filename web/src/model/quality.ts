/* The verdict of scry on its data in the words of the page, and the numbers behind it. The rules are scry's own. */
import type { Profile } from '../data/profile';
import { bytes, count, duration, percent } from './format';

export type Grade = 'good' | 'fair' | 'poor' | 'unknown';

export interface Judgement {
  grade: Grade;
  word: string;
  facts: string[]; /* one line, most important first */
  reasons: string[]; /* why it is not good, the worst first, and what to do */
  details: { name: string; value: string; note?: string }[];
}

function detailsOf(p: Profile): Judgement['details'] {
  const q = p.quality;
  const list: Judgement['details'] = [
    { name: 'Samples taken', value: count(q.taken), note: `any share is within \u00b1${p.verdict.margin_points.toFixed(1)} points (95 %)` },
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

function reasonsOf(p: Profile): string[] {
  return p.verdict.concerns.map(({ text, advice }) => `${text[0].toUpperCase()}${text.slice(1)}${advice && `. ${advice}`}`);
}

function factsOf(p: Profile): string[] {
  const q = p.quality;
  const facts = [
    `${count(q.taken)} samples`,
    `${q.lost ? percent(q.lost, q.taken + q.lost) : 'none'} lost`,
    `${percent(q.whole, q.taken)} of stacks whole`,
    `${percent(q.unnamed, q.frames)} of frames unnamed`,
  ];
  if (q.slowdown !== null && q.slowdown >= 0) facts.push(`target slowed by at most ${percent(q.slowdown, 1)}`);
  return facts;
}

export function judge(p: Profile): Judgement {
  const v = p.verdict;
  if (!v.samples)
    return {
      grade: 'poor',
      word: 'No samples',
      facts: ['nothing ran on a CPU while scry looked, or it could not see it'],
      reasons: [],
      details: [],
    };
  if (!v.complete_is_known)
    return {
      grade: v.concerns.length ? v.grade : 'unknown',
      word: 'Quality not recorded',
      facts: [`${count(p.sampleStack.length)} stacks`],
      reasons: ['This profile comes from a tool that does not say how good its data is', ...reasonsOf(p)],
      details: [],
    };
  return {
    grade: v.grade,
    word: { good: 'Good data', fair: 'Fair data', poor: 'Poor data' }[v.grade],
    facts: factsOf(p),
    reasons: reasonsOf(p),
    details: detailsOf(p),
  };
}
