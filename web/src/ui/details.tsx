/* One function over all its places: callers, callees, lines. */
import { signal } from '@preact/signals';
import { APPROXIMATE, INLINED, INTERNAL, UNNAMED } from '../data/profile';
import type { Edge } from '../model/details';
import { percent, value } from '../model/format';
import type { State } from '../state';
import { Badge } from './badge';
import { detailsWhole } from './functions';
import { copyName } from './keys';

const FIRST = 60;
const opened = signal<string>('');

function EdgeList({ s, title, edges, of, none, rest }: { s: State; title: string; edges: Edge[]; of: number; none: string; rest?: [string, number] }) {
  const whole = opened.value === `${s.selected.value}${title}`;
  const shown = whole ? edges.slice(0, 5000) : edges.slice(0, FIRST);
  return (
    <section>
      <h3>{title}</h3>
      {rest && rest[1] > 0 && (
        <div class="edge still"><span class="num">{percent(rest[1], of)}</span><span class="meter"><i style={{ width: `${(100 * rest[1]) / of}%` }} /></span><span class="cell"><i>{rest[0]}</i></span></div>
      )}
      {shown.map((e) => {
        const f = s.p.syms[e.sym];
        return e.sym === 0 ? (
          <div class="edge still" key={0}><span class="num">{percent(e.weight, of)}</span><span class="meter"><i /><i style={{ width: `${(100 * e.weight) / of}%` }} /></span><span class="cell"><i>none: stacks begin here</i></span></div>
        ) : (
          <button class="edge" key={e.sym} onClick={() => s.select(e.sym)} title={`${f.name}\n${value(e.weight, s.unit.value)}`}>
            <span class="num">{percent(e.weight, of)}</span>
            <span class="meter"><i /><i style={{ width: `${(100 * e.weight) / of}%` }} /></span>
            <span class="cell"><Badge s={s} sym={e.sym} /><span class="name">{f.name.slice(0, 300)}</span></span>
          </button>
        );
      })}
      {!edges.length && !(rest && rest[1] > 0) && <div class="empty" style={{ padding: '2px 8px' }}>{none}</div>}
      {edges.length > shown.length && (
        <button class="link" style={{ margin: '2px 8px' }} onClick={() => (opened.value = `${s.selected.value}${title}`)}>{edges.length - shown.length} more</button>
      )}
    </section>
  );
}

function Lines({ s, of }: { s: State; of: number }) {
  const d = s.details.value!;
  const f = s.p.syms[d.sym];
  if (!d.lines.some((l) => l.line)) return null;
  const heaviest = Math.max(...d.lines.map((l) => l.total));
  return (
    <section>
      <h3>Lines: self and with callees, of this function</h3>
      {d.lines.map((l) => (
        <div class="edge still" key={l.line} title={`self ${value(l.self, s.unit.value)}, total ${value(l.total, s.unit.value)}`}>
          <span class="num">{percent(l.total, of)}</span>
          <span class="meter"><i style={{ width: `${(100 * l.self) / of}%` }} /><i style={{ width: `${(100 * (l.total - l.self)) / of}%` }} /></span>
          <span class="cell">
            <span class="name" style={l.total === heaviest ? { fontWeight: 600 } : undefined}>{l.line ? `line ${l.line}` : 'line not known'}</span>
            <span class="at">{l.self > 0 ? `self ${percent(l.self, of)}` : ''}{f.startLine && l.line >= f.startLine ? `${l.self > 0 ? ', ' : ''}+${l.line - f.startLine}` : ''}</span>
          </span>
        </div>
      ))}
    </section>
  );
}

function remarks(flags: number): string[] {
  return [
    flags & INLINED ? 'inlined by the compiler' : '',
    flags & APPROXIMATE ? 'found by frame pointer only' : '',
    flags & INTERNAL ? 'interpreter internals' : '',
    flags & UNNAMED ? 'no name was found' : '',
  ].filter(Boolean);
}

export function Details({ s }: { s: State }) {
  const d = s.details.value;
  if (!d) return null;
  const { sym } = d;
  const f = s.p.syms[sym];
  const w = s.symWeights.value;
  const all = s.baseWeights.value.total[0];
  const other = s.otherSymWeights.value;
  const otherUnit = s.p.valueTypes[s.otherType.value];
  const where = [f.file ? `${f.file}${f.startLine ? `:${f.startLine}` : ''}` : '', f.module !== f.file ? f.module : '', ...remarks(f.flags)].filter(Boolean);
  return (
    <section class={`details${detailsWhole.value ? ' whole' : ''}`} aria-label="Details of the function" id="details">
      <header>
        <div class="title">
          <Badge s={s} sym={sym} />
          <h2 class="name">{f.name}</h2>
          <button class="btn icon" aria-label={detailsWhole.value ? 'Show the list again' : 'Use the full height'} title={detailsWhole.value ? 'Show the list again (c)' : 'Full height (c)'}
            onClick={() => (detailsWhole.value = !detailsWhole.value)}>{detailsWhole.value ? '\u2193' : '\u2191'}</button>
          <button class="btn icon" aria-label="Close details" title="Close" onClick={() => { detailsWhole.value = false; s.select(0); }}>{'\u00d7'}</button>
        </div>
        {where.length > 0 && <div class="where"><bdi>{where.join(' \u00b7 ')}</bdi></div>}
        <div class="sums">
          <span>Self <b>{percent(w.self[sym], all)}</b> {value(w.self[sym], s.unit.value)}{other && otherUnit && `, ${value(other.self[sym], otherUnit.unit)} ${otherUnit.unit === 'count' ? otherUnit.type : ''}`}</span>
          <span>Total <b>{percent(w.total[sym], all)}</b> {value(w.total[sym], s.unit.value)}{other && otherUnit && `, ${value(other.total[sym], otherUnit.unit)} ${otherUnit.unit === 'count' ? otherUnit.type : ''}`}</span>
        </div>
        <div class="actions">
          <button class="link" onClick={() => zoomToHeaviest(s, sym)}>Zoom to its widest box</button>
          <button class="link" onClick={() => s.setQuery(`^${f.name.slice(0, 300).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}${f.name.length > 300 ? '' : '$'}`)}>Highlight all</button>
          <button class="link" onClick={() => void copyName(s, sym)}>Copy name</button>
        </div>
      </header>
      <div class="body">
        <EdgeList s={s} title="Callers" edges={d.callers} of={w.total[sym]} none="No samples here." />
        <EdgeList s={s} title="Callees" edges={d.callees} of={w.total[sym]} none="No samples here." rest={['self', w.self[sym]]} />
        <Lines s={s} of={w.total[sym]} />
      </div>
    </section>
  );
}

export function zoomToHeaviest(s: State, sym: number): void {
  const tree = s.tree.value;
  const { total } = s.weights.value;
  let best = 0;
  for (let i = 1; i < tree.n; i++) if (tree.sym[i] === sym && total[i] > (best ? total[best] : 0)) best = i;
  if (best) s.zoomTo(best);
}
