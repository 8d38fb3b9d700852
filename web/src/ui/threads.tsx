/* Threads with their shares; choosing some shows only their samples. */
import { signal, useComputed } from '@preact/signals';
import { threadTitle } from '../data/decode';
import { percent, value } from '../model/format';
import { passing } from '../model/weights';
import type { State } from '../state';
import { detailsWhole } from './functions';
import { PanelTabs } from './tabs';
import { Rows } from './virtual';

const filter = signal('');

export function ThreadTable({ s }: { s: State }) {
  /* Weights of all threads in the chosen time, whichever threads are chosen. */
  const weights = useComputed(() => {
    const { p } = s;
    const pass = passing(p, { from: s.range.value?.from ?? -Infinity, to: s.range.value?.to ?? Infinity, threads: null });
    const sums = new Float64Array(p.threads.length);
    for (let i = 0; i < p.sampleThread.length; i++)
      if (!pass || pass[i]) sums[p.sampleThread[i]] += s.values.value ? Math.max(0, s.values.value[i]) : 1;
    return sums;
  });
  const sums = weights.value;
  const list = useComputed(() => {
    const text = filter.value.toLowerCase();
    const ids: number[] = [];
    for (let t = 0; t < s.p.threads.length; t++) {
      const thread = s.p.threads[t];
      if (weights.value[t] > 0 && (!text || `${threadTitle(thread)} ${thread.runtime} ${thread.container}`.toLowerCase().includes(text))) ids.push(t);
    }
    return ids.sort((a, b) => weights.value[b] - weights.value[a] || a - b);
  }).value;
  if (detailsWhole.value && s.selected.value) return null;
  const all = sums.reduce((a, b) => a + b, 0);
  const toggle = (t: number) => {
    const next = new Set(s.threads.value ?? []);
    if (!next.delete(t)) next.add(t);
    s.threads.value = next.size ? next : null;
  };
  return (
    <section class="pane threads" aria-label="Threads">
      <PanelTabs s={s}>
        <input type="search" placeholder="Filter the list" aria-label="Filter the list of threads" value={filter.value} spellcheck={false}
          onInput={(e) => (filter.value = e.currentTarget.value)} />
        {s.threads.value && <button class="btn" onClick={() => (s.threads.value = null)}>All</button>}
      </PanelTabs>
      <div class="table">
        <div class="thead"><div /><div style={{ textAlign: 'left' }}>{list.length} thread{list.length === 1 ? '' : 's'}; choose one or more</div><div>Share</div><div>Value</div></div>
        <Rows name="th" label="Threads" count={list.length} current={-1} multi
          row={(i, top, current, id) => {
            const t = list[i];
            const thread = s.p.threads[t];
            const chosen = s.threads.value?.has(t) ?? false;
            return (
              <div key={t} id={id} class={`trow${current ? ' current' : ''}`} style={{ top: `${top}px` }} role="option" aria-selected={chosen}
                aria-posinset={i + 1} aria-setsize={list.length} onClick={() => toggle(t)}
                aria-label={`${threadTitle(thread)}, ${thread.runtime || 'native'}, ${percent(sums[t], all)}`}
                title={[threadTitle(thread), thread.runtime, thread.container].filter(Boolean).join('\n')}>
                <span aria-hidden="true">{chosen ? '\u2611' : '\u2610'}</span>
                <span class="cell"><span class="name">{threadTitle(thread)}</span>{thread.runtime && <span class="at name">{thread.runtime}</span>}</span>
                <span class="num">{percent(sums[t], all)}</span>
                <span class="num">{value(sums[t], s.unit.value)}</span>
              </div>
            );
          }}
          pick={(i) => toggle(list[i])} />
      </div>
    </section>
  );
}
