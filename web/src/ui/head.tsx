/* What stands above the picture: what was captured, how good it is, the controls, where one is. */
import { threadTitle } from '../data/decode';
import { fillOf } from '../flame/palette';
import { duration, percent, value } from '../model/format';
import type { State } from '../state';
import { helpOpen } from './help';

export function Head({ s }: { s: State }) {
  const { p } = s;
  const facts = [
    p.host && `on ${p.host}`,
    p.startMs ? new Date(p.startMs).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }) : '',
    p.duration ? duration(p.duration) : '',
    p.generator,
  ].filter(Boolean);
  return (
    <header class="head">
      <h1 title={p.command}><bdi>{p.command || 'Profile'}</bdi></h1>
      <div class="facts">{facts.map((f) => <span key={f}><bdi>{f}</bdi></span>)}</div>
    </header>
  );
}

const SIGNS = { good: '\u2713', fair: '!', poor: '\u00d7', unknown: '?' };

export function Quality({ s }: { s: State }) {
  const v = s.verdict;
  const notes = s.p.quality.notes;
  const more = v.details.length + v.reasons.length + notes.length > 0;
  return (
    <details class={`quality ${v.grade}`}>
      <summary aria-label={`Quality of the data: ${v.word}. ${v.facts.join(', ')}`}>
        <span class="word"><span class="sign"><i>{SIGNS[v.grade]}</i></span>{v.word}</span>
        <span class="facts">{[...v.reasons.slice(0, 1), ...v.facts].map((f) => <span key={f}>{f}</span>)}</span>
        {more && <span class="more">details</span>}
      </summary>
      {more && (
        <div class="body">
          <dl>
            {v.details.map((d) => [
              <dt key={d.name}><bdi>{d.name}</bdi></dt>, <dd>{d.value}</dd>, <dd class="note">{d.note ?? ''}</dd>,
            ])}
          </dl>
          <ul>
            {v.reasons.map((r) => <li key={r}>{r}</li>)}
            {notes.map((n) => <li key={n}><bdi>{n}</bdi></li>)}
            {!v.reasons.length && !notes.length && <li>Nothing was lost or cut that would change the picture.</li>}
          </ul>
        </div>
      )}
    </details>
  );
}

function Search({ s }: { s: State }) {
  const f = s.found.value;
  return (
    <div class="search" role="search">
      <input id="search" type="search" value={s.query.value} placeholder="Search  /" autocomplete="off" spellcheck={false}
        aria-label="Search functions by regular expression" title="Regular expression, or plain text; file:\u2026 looks at files"
        onInput={(e) => s.setQuery(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') s.step(e.shiftKey ? -1 : 1);
          else if (e.key === 'Escape') {
            if (s.query.value) s.setQuery('');
            else e.currentTarget.blur();
          } else return;
          e.preventDefault();
          e.stopPropagation();
        }} />
      {f && (
        <>
          <span class="count" role="status" id="matched">
            <b>{percent(f.weight, s.total.value)}</b> in {f.functions} function{f.functions === 1 ? '' : 's'}
            {f.nodes.length > 0 && `, ${s.match.value < 0 ? '' : `${s.match.value + 1}\u2009/\u2009`}${f.nodes.length} place${f.nodes.length === 1 ? '' : 's'}`}
          </span>
          <button class="btn icon" aria-label="Previous match" title="Previous (N)" disabled={!f.nodes.length} onClick={() => s.step(-1)}>{'\u2191'}</button>
          <button class="btn icon" aria-label="Next match" title="Next (n)" disabled={!f.nodes.length} onClick={() => s.step(1)}>{'\u2193'}</button>
        </>
      )}
    </div>
  );
}

function valueName(type: string, unit: string): string {
  return unit && unit !== 'count' && unit !== type ? `${type} (${unit})` : type;
}

const THEMES = { auto: ['\u25d0', 'as the system'], light: ['\u2600\ufe0e', 'light'], dark: ['\u263e', 'dark'] } as const;

export function Toolbar({ s }: { s: State }) {
  const { p } = s;
  const hasInternal = p.frameFlags.some((f) => f & 4);
  const nextTheme = () => (s.theme.value = s.dark.value ? 'light' : 'dark');
  const many = p.threads.length > 2;
  return (
    <div class="bar" role="toolbar" aria-label="View">
      <div class="group">
        <button aria-pressed={s.rootAtTop.value} title="Root at the top (i)" onClick={() => (s.rootAtTop.value = true)}>Icicle</button>
        <button aria-pressed={!s.rootAtTop.value} title="Root at the bottom (i)" onClick={() => (s.rootAtTop.value = false)}>Flame</button>
      </div>
      <div class="group">
        <button aria-pressed={!s.inverted.value} title="Callers first (v)" onClick={() => s.changeTree(() => (s.inverted.value = false))}>Top down</button>
        <button aria-pressed={s.inverted.value} title="Leaves first: who calls what costs most (v)" onClick={() => s.changeTree(() => (s.inverted.value = true))}>Inverted</button>
      </div>
      {many && <button class="btn" aria-pressed={s.byThread.value} title="A box for each thread (b)" onClick={() => s.changeTree(() => (s.byThread.value = !s.byThread.value))}>By thread</button>}
      {hasInternal && (
        <button class="btn" aria-pressed={s.showInternal.value} title="Show the interpreter's own frames, which are folded otherwise (k)"
          onClick={() => s.changeTree(() => (s.showInternal.value = !s.showInternal.value))}>Internals</button>
      )}
      {p.valueTypes.length > 1 && (
        <select class="btn" aria-label="What is counted" value={s.valueType.value}
          onChange={(e) => s.changeTree(() => (s.valueType.value = Number(e.currentTarget.value)))}>
          {p.valueTypes.map((v, i) => <option key={i} value={i}>{valueName(v.type, v.unit)}</option>)}
        </select>
      )}
      <span class="space" />
      <Search s={s} />
      <button class="btn icon" title={`Colours: ${THEMES[s.theme.value][1]} (t)`} aria-label={`Colours: ${THEMES[s.theme.value][1]}`} onClick={nextTheme}>{THEMES[s.theme.value][0]}</button>
      <button class="btn icon" title="Keys and help (?)" aria-label="Help" onClick={() => (helpOpen.value = true)}>?</button>
    </div>
  );
}

/* The way from the root to the zoomed box; the middle of a long way is left out. */
export function Crumbs({ s }: { s: State }) {
  const tree = s.tree.value;
  const path: number[] = [];
  for (let n = s.zoom.value; n; n = tree.parent[n]) path.push(n);
  path.push(0);
  path.reverse();
  const shown = path.length > 7 ? [...path.slice(0, 2), -1, ...path.slice(-4)] : path;
  const total = s.total.value;
  const chosen = s.threads.value;
  const subset = chosen && (chosen.size === 1 ? threadTitle(s.p.threads[[...chosen][0]]) : `${chosen.size} threads`);
  return (
    <nav class="crumbs" aria-label="Zoomed into">
      <ol>
        {shown.map((n) => {
          if (n < 0) return <li key="gap" class="gap"><span>{'\u2026'}</span></li>;
          const name = n === 0 ? `all${subset ? ` of ${subset}` : ''}` : s.p.syms[tree.sym[n]].name.slice(0, 200);
          return (
            <li key={n} title={name}>
              {n === s.zoom.value ? <span class="here name">{name}</span> : <button class="link name" onClick={() => s.zoomTo(n)}>{name}</button>}
            </li>
          );
        })}
      </ol>
      <span>{value(s.weights.value.total[s.zoom.value], s.unit.value)}{s.zoom.value !== 0 && `, ${percent(s.weights.value.total[s.zoom.value], total)}`}</span>
      {(s.zoom.value !== 0 || s.range.value || chosen) && (
        <button class="btn" style={{ marginLeft: '8px', height: '22px' }} title="Whole profile (0)" onClick={() => resetAll(s)}>Reset</button>
      )}
    </nav>
  );
}

export function resetAll(s: State): void {
  s.range.value = null;
  s.threads.value = null;
  s.zoomTo(0);
}

export function Legend({ s }: { s: State }) {
  const shown = s.kinds.kinds.filter((k) => k.name !== '' && (k.name !== 'thread' || s.byThread.value));
  const cut = s.tree.value.cutAt;
  return (
    <div class="legend">
      {shown.filter((k) => s.p.syms.some((x, i) => i > 0 && x.kind === k.name)).map((k) => (
        <span class="kind" key={k.name}>
          <span class="badge" style={{ background: fillOf(k, 2, s.dark.value) }} aria-hidden="true">{k.letter}</span>{k.name}
        </span>
      ))}
      {cut > 0 && <span>{`Inverted: only the innermost ${cut} frames of each stack, to bound the work`}</span>}
      <span class="hint" style={{ marginLeft: 'auto' }}>click zooms, double click shows callers and callees, ctrl+wheel zooms freely</span>
    </div>
  );
}
