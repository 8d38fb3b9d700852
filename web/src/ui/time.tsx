/* Samples over the capture. Dragging chooses a range, and everything else follows it. */
import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { duration, percent } from '../model/format';
import { passing } from '../model/weights';
import type { State } from '../state';

const BAR = 3; /* px */

/* First and last time, or null when the profile does not know when its samples were taken. */
function span(s: State): { from: number; to: number } | null {
  const t = s.p.sampleTime;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < t.length; i++) {
    if (t[i] < low) low = t[i];
    if (t[i] > high) high = t[i];
  }
  const end = s.p.duration ? Math.ceil(s.p.duration / s.p.timeUnit) : 0;
  return high > low ? { from: 0, to: Math.max(high + 1, end) } : null;
}

export function TimeStrip({ s }: { s: State }) {
  const all = useComputed(() => span(s)).value;
  return all && <Strip s={s} from={all.from} to={all.to} />;
}

function Strip({ s, from, to }: { s: State; from: number; to: number }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useSignal(0);
  const drag = useSignal<{ a: number; b: number } | null>(null);

  useLayoutEffect(() => {
    const observer = new ResizeObserver(([e]) => (width.value = Math.floor(e.contentRect.width)));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);

  const bars = useComputed(() => {
    const most = Math.max(40, s.p.sampleTime.length / 12); /* fewer samples in a bar would only show chance */
    const n = Math.max(1, Math.floor(Math.min(width.value / BAR, most)));
    const sums = new Float64Array(n);
    const pass = passing(s.p, { from: -Infinity, to: Infinity, threads: s.threads.value });
    const { sampleTime } = s.p;
    const values = s.values.value;
    for (let i = 0; i < sampleTime.length; i++)
      if (!pass || pass[i]) sums[Math.min(n - 1, Math.floor(((sampleTime[i] - from) / (to - from)) * n))] += values ? Math.max(0, values[i]) : 1;
    return { n, sums, highest: sums.reduce((a, b) => Math.max(a, b), 0) };
  });

  useSignalEffect(() => {
    const c = canvas.current;
    const { n, sums, highest } = bars.value;
    const w = width.value;
    const chosen = drag.value ? { from: Math.min(drag.value.a, drag.value.b), to: Math.max(drag.value.a, drag.value.b) } : s.range.value;
    const dark = s.dark.value;
    if (!c || !w) return;
    const h = c.clientHeight;
    const dpr = devicePixelRatio || 1;
    c.width = Math.round(w * dpr);
    c.height = Math.round(h * dpr);
    const ctx = c.getContext('2d')!;
    ctx.scale(dpr, dpr);
    ctx.fillStyle = dark ? '#1c2025' : '#f5f6f8';
    ctx.fillRect(0, 0, w, h);
    const x = (t: number) => ((t - from) / (to - from)) * w;
    if (chosen) {
      ctx.fillStyle = dark ? '#1e3048' : '#dce9fa';
      ctx.fillRect(x(chosen.from), 0, Math.max(1, x(chosen.to) - x(chosen.from)), h);
    }
    for (let i = 0; i < n; i++) {
      if (!sums[i]) continue;
      const left = (i * w) / n;
      const middle = from + ((i + 0.5) * (to - from)) / n;
      const inside = !chosen || (middle >= chosen.from && middle < chosen.to);
      const height = Math.max(1, (sums[i] / highest) * (h - 5));
      ctx.fillStyle = inside ? (dark ? '#5b8fd6' : '#5a8fd8') : dark ? '#39424e' : '#c8cfd8';
      ctx.fillRect(left, h - height, Math.max(1, w / n - 1), height);
    }
    if (chosen) {
      ctx.fillStyle = dark ? '#6ea8fe' : '#1f63c6';
      ctx.fillRect(Math.round(x(chosen.from)), 0, 1, h);
      ctx.fillRect(Math.round(x(chosen.to)) - 1, 0, 1, h);
    }
  });

  const timeAt = (e: PointerEvent) => {
    const r = box.current!.getBoundingClientRect();
    return Math.round(from + Math.min(1, Math.max(0, (e.clientX - r.left) / r.width)) * (to - from));
  };
  const down = (e: PointerEvent) => {
    if (e.button !== 0) return;
    box.current!.setPointerCapture(e.pointerId);
    const t = timeAt(e);
    drag.value = { a: t, b: t };
  };
  const move = (e: PointerEvent) => {
    if (drag.value) drag.value = { a: drag.value.a, b: timeAt(e) };
  };
  const up = () => {
    if (!drag.value) return;
    const { a, b } = drag.value;
    drag.value = null;
    const enough = Math.abs(b - a) / (to - from) > 4 / Math.max(1, width.value);
    s.range.value = enough ? { from: Math.min(a, b), to: Math.max(a, b) } : null;
  };
  const key = (e: KeyboardEvent) => {
    const step = Math.max(1, Math.round((to - from) / 40));
    const r = s.range.value ?? { from, to: from + step * 4 };
    const by = e.key === 'ArrowLeft' ? -step : e.key === 'ArrowRight' ? step : 0;
    if (e.key === 'Escape') s.range.value = null;
    else if (!by) return;
    else if (!s.range.value) s.range.value = r;
    else if (e.shiftKey) s.range.value = { from: r.from, to: Math.min(to, Math.max(r.from + step, r.to + by)) };
    else {
      const shift = Math.max(from - r.from, Math.min(to - r.to, by));
      s.range.value = { from: r.from + shift, to: r.to + shift };
    }
    e.preventDefault();
    e.stopPropagation();
  };
  const chosen = s.range.value;
  const at = (t: number) => duration(t * s.p.timeUnit);
  const text = chosen ? `${at(chosen.from)} \u2013 ${at(chosen.to)}` : `0 \u2013 ${at(to)}`;
  return (
    <div class="time">
      <div class="strip" ref={box} role="slider" tabIndex={0} aria-label="Time range; arrows move it, with shift they widen it, Escape shows all"
        aria-valuemin={0} aria-valuemax={to} aria-valuenow={chosen?.from ?? 0} aria-valuetext={text} title="Drag to see only that time"
        onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={() => (drag.value = null)} onKeyDown={key}>
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      <div class="label">
        {chosen ? <>{text}, {percent(chosen.to - chosen.from, to - from)} <button class="link" onClick={() => (s.range.value = null)}>show all</button></> : <>samples over {at(to)}</>}
      </div>
    </div>
  );
}
