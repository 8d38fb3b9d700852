/* Keys that work wherever the focus is, except while typing. */
import type { State } from '../state';
import { say } from './app';
import { resetAll } from './head';
import { helpOpen } from './help';

function isTyping(e: KeyboardEvent): boolean {
  const t = e.target as HTMLElement;
  return t.tagName === 'INPUT' || t.tagName === 'SELECT' || t.tagName === 'TEXTAREA';
}

export async function copyName(s: State, sym: number): Promise<void> {
  if (!sym) return;
  try {
    await navigator.clipboard.writeText(s.p.syms[sym].name);
    say('Name copied');
  } catch {
    say('The browser does not let this page copy; select the name instead');
  }
}

export function handleKey(s: State, e: KeyboardEvent): void {
  if (helpOpen.value && e.key === 'Escape') helpOpen.value = false;
  if (e.ctrlKey || e.metaKey || e.altKey || isTyping(e) || helpOpen.value) return;
  const toggleTree = (signal: { value: boolean }) => s.changeTree(() => (signal.value = !signal.value));
  const actions: Record<string, () => void> = {
    '/': () => document.getElementById('search')?.focus(),
    '?': () => (helpOpen.value = true),
    n: () => s.step(1),
    N: () => s.step(-1),
    i: () => (s.rootAtTop.value = !s.rootAtTop.value),
    v: () => toggleTree(s.inverted),
    b: () => toggleTree(s.byThread),
    k: () => toggleTree(s.showInternal),
    t: () => (s.theme.value = s.dark.value ? 'light' : 'dark'),
    f: () => (s.panel.value = 'functions'),
    h: () => (s.panel.value = 'threads'),
    '0': () => resetAll(s),
    y: () => void copyName(s, s.selected.value || s.tree.value.sym[s.focus.value]),
  };
  const action = actions[e.key];
  if (!action) return;
  e.preventDefault();
  action();
}
