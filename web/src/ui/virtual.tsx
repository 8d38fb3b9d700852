/* A list of which only the visible rows exist in the page; arrows move through it. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

export const ROW_HEIGHT = 22;

interface Props {
  label: string;
  count: number;
  current: number; /* row to keep in sight; -1 for none */
  row: (index: number, top: number, isCurrent: boolean, id: string) => ComponentChildren;
  pick: (index: number) => void;
  open?: (index: number) => void;
  multi?: boolean;
  name: string;
}

export function Rows({ label, count, current, row, pick, open, name, multi }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const scroll = useSignal(0);
  const height = useSignal(300);
  const at = useSignal(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([e]) => (height.value = e.contentRect.height));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const show = (i: number) => {
    const b = box.current;
    if (!b) return;
    if (i * ROW_HEIGHT < b.scrollTop) b.scrollTop = i * ROW_HEIGHT;
    else if ((i + 1) * ROW_HEIGHT > b.scrollTop + b.clientHeight) b.scrollTop = (i + 1) * ROW_HEIGHT - b.clientHeight;
  };
  useEffect(() => {
    if (current < 0) return;
    at.value = current;
    show(current);
  }, [current]);
  const key = (e: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(height.value / ROW_HEIGHT) - 1);
    const moves: Record<string, number> = {
      ArrowDown: at.value + 1, ArrowUp: at.value - 1, PageDown: at.value + page, PageUp: at.value - page, Home: 0, End: count - 1,
    };
    if (e.key in moves && !e.ctrlKey && !e.metaKey) {
      at.value = Math.max(0, Math.min(count - 1, moves[e.key]));
      show(at.value);
      if (!multi) pick(at.value);
    } else if (e.key === ' ' || (e.key === 'Enter' && multi)) pick(at.value);
    else if (e.key === 'Enter') open?.(at.value);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const first = Math.max(0, Math.floor(scroll.value / ROW_HEIGHT) - 4);
  const last = Math.min(count, Math.ceil((scroll.value + height.value) / ROW_HEIGHT) + 4);
  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) rows.push(row(i, i * ROW_HEIGHT, i === at.value, `${name}-${i}`));
  return (
    <div class="rows" ref={box} role="listbox" aria-multiselectable={multi} aria-label={label} tabIndex={0} onKeyDown={key}
      aria-activedescendant={at.value >= first && at.value < last ? `${name}-${at.value}` : undefined}
      onScroll={(e) => (scroll.value = e.currentTarget.scrollTop)}>
      <div style={{ height: `${count * ROW_HEIGHT}px` }} />
      {rows}
    </div>
  );
}
