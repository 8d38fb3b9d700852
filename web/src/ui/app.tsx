import { signal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { State } from '../state';
import { Details } from './details';
import { Flame } from './flame';
import { Crumbs, Head, Legend, Quality, Toolbar } from './head';
import { Help, helpOpen } from './help';
import { handleKey } from './keys';
import { FunctionTable } from './functions';
import { ThreadTable } from './threads';
import { TimeStrip } from './time';

export const toast = signal('');
let toastTimer = 0;

export function say(text: string): void {
  toast.value = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.value = ''), 2200);
}

const sideWidth = signal(0); /* 0: not chosen yet */

function Divider() {
  const width = sideWidth.value || defaultSide();
  const set = (w: number) => (sideWidth.value = Math.round(Math.min(innerWidth * 0.75, Math.max(220, w))));
  const drag = (e: PointerEvent) => {
    const bar = e.currentTarget as HTMLElement;
    bar.setPointerCapture(e.pointerId);
    const move = (m: PointerEvent) => set(innerWidth - m.clientX);
    bar.addEventListener('pointermove', move);
    bar.addEventListener('pointerup', () => bar.removeEventListener('pointermove', move), { once: true });
  };
  const key = (e: KeyboardEvent) => {
    const by = e.key === 'ArrowLeft' ? 24 : e.key === 'ArrowRight' ? -24 : 0;
    if (!by) return;
    e.preventDefault();
    e.stopPropagation();
    set(width + by);
  };
  return (
    <div class="divider" role="separator" tabIndex={0} aria-orientation="vertical" aria-label="Width of the tables"
      aria-valuenow={width} aria-valuemin={220} aria-valuemax={Math.round(innerWidth * 0.75)} onPointerDown={drag} onKeyDown={key} />
  );
}

function defaultSide(): number {
  return Math.round(Math.min(560, Math.max(340, innerWidth * 0.33)));
}

function Side({ s }: { s: State }) {
  return (
    <aside class="side" style={{ width: `${sideWidth.value || defaultSide()}px` }}>
      {s.panel.value === 'threads' ? <ThreadTable s={s} /> : <FunctionTable s={s} />}
      <Details s={s} />
    </aside>
  );
}

function Toast() {
  return <div role="status" aria-live="polite">{toast.value && <div class="toast">{toast.value}</div>}</div>;
}

export function App({ s }: { s: State }) {
  useSignalEffect(() => {
    document.documentElement.dataset.theme = s.dark.value ? 'dark' : 'light';
  });
  const page = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => handleKey(s, e);
    addEventListener('keydown', onKey);
    page.current?.querySelector<HTMLElement>('.scroll')?.focus({ preventScroll: true });
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <div class="page" ref={page}>
      <Head s={s} />
      <Quality s={s} />
      <Toolbar s={s} />
      <TimeStrip s={s} />
      <main class="main">
        <section class="graph" aria-label="Flame graph">
          <Crumbs s={s} />
          <Flame s={s} />
          <Legend s={s} />
        </section>
        <Divider />
        <Side s={s} />
      </main>
      {helpOpen.value && <Help s={s} />}
      <Toast />
    </div>
  );
}
