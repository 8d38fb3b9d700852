/* The table of functions beside the picture. */
import { signal, useComputed } from '@preact/signals';
import { compile } from '../model/search';
import { percent, value } from '../model/format';
import type { State } from '../state';
import { isOdd } from '../flame/palette';
import { Badge, place } from './badge';
import { PanelTabs } from './tabs';
import { Rows } from './virtual';

type Column = 'name' | 'self' | 'total';
const sort = signal<{ by: Column; down: boolean }>({ by: 'self', down: true });
const filter = signal('');
export const detailsWhole = signal(false);

function listed(s: State): number[] {
  const { self, total } = s.symWeights.value;
  const matches = compile(filter.value);
  const list: number[] = [];
  for (let i = 1; i < s.p.firstThreadSym; i++) if (total[i] > 0 && (!matches || matches(s.p.syms[i]))) list.push(i);
  const { by, down } = sort.value;
  const sign = down ? -1 : 1;
  const names = (a: number, b: number) => (s.p.syms[a].name < s.p.syms[b].name ? -1 : s.p.syms[a].name > s.p.syms[b].name ? 1 : 0);
  if (by === 'name') return list.sort((a, b) => -sign * names(a, b) || a - b);
  const main = by === 'self' ? self : total;
  const other = by === 'self' ? total : self;
  return list.sort((a, b) => sign * (main[a] - main[b]) || other[b] - other[a] || a - b);
}

function Heading({ by, text }: { by: Column; text: string }) {
  const { by: now, down } = sort.value;
  const state = now !== by ? 'none' : down === (by !== 'name') ? 'descending' : 'ascending';
  const arrow = now !== by ? '' : state === 'descending' ? ' \u25be' : ' \u25b4';
  return (
    <div role="columnheader" aria-sort={state}>
      <button onClick={() => (sort.value = { by, down: now === by ? !down : true })}>{text}{arrow}</button>
    </div>
  );
}

function Row({ s, sym, top, current, id, index, count }: { s: State; sym: number; top: number; current: boolean; id: string; index: number; count: number }) {
  const { self, total } = s.symWeights.value;
  const all = s.baseWeights.value.total[0];
  const f = s.p.syms[sym];
  const where = place(f.file || f.module, f.file ? f.startLine : 0);
  const isMatch = s.found.value?.syms[sym] === 1;
  return (
    <div class={`trow${current ? ' current' : ''}${isMatch ? ' match' : ''}`} style={{ top: `${top}px` }} id={id} role="option" aria-selected={s.selected.value === sym}
      aria-posinset={index + 1} aria-setsize={count} onClick={() => s.select(sym)} onDblClick={() => { s.select(sym); detailsWhole.value = true; }}
      aria-label={`${f.name}, ${f.kind}, self ${percent(self[sym], all)}, total ${percent(total[sym], all)}${where ? `, ${where}` : ''}`}
      title={`${f.name}\n${f.file || f.module}${f.file && f.startLine ? ':' + f.startLine : ''}\nself ${value(self[sym], s.unit.value)}, total ${value(total[sym], s.unit.value)}`}>
      <span class="cell"><Badge s={s} sym={sym} /><span class={`name${isOdd(f.flags) ? ' odd' : ''}`}>{f.name.slice(0, 300)}</span>{where && <span class="at name">{where}</span>}</span>
      <span class="num">{percent(self[sym], all)}</span>
      <span class="num">{percent(total[sym], all)}</span>
      <span class="meter"><i style={{ width: `${(100 * self[sym]) / all}%` }} /><i style={{ width: `${(100 * (total[sym] - self[sym])) / all}%` }} /></span>
    </div>
  );
}

export function FunctionTable({ s }: { s: State }) {
  const list = useComputed(() => listed(s));
  if (detailsWhole.value && s.selected.value) return null;
  const rows = list.value;
  return (
    <section class="pane functions" aria-label="Functions">
      <PanelTabs s={s}>
        <input type="search" placeholder="Filter the list" aria-label="Filter the list of functions" value={filter.value} spellcheck={false}
          onInput={(e) => (filter.value = e.currentTarget.value)} />
      </PanelTabs>
      <div class="table">
        <div class="thead" role="row">
          <Heading by="name" text={`${rows.length} function${rows.length === 1 ? '' : 's'}`} />
          <Heading by="self" text="Self" />
          <Heading by="total" text="Total" />
          <div class="of-meter" aria-hidden="true" />
        </div>
        {rows.length ? (
          <Rows name="fn" label="Functions" count={rows.length} current={rows.indexOf(s.selected.value)}
            row={(i, top, current, id) => <Row key={rows[i]} s={s} sym={rows[i]} top={top} current={current} id={id} index={i} count={rows.length} />}
            pick={(i) => s.select(rows[i])} open={(i) => { s.select(rows[i]); detailsWhole.value = true; }} />
        ) : <p class="empty">{filter.value ? 'No function matches the filter.' : 'No samples here.'}</p>}
      </div>
    </section>
  );
}
