import type { ComponentChildren } from 'preact';
import type { State } from '../state';

export function PanelTabs({ s, children }: { s: State; children?: ComponentChildren }) {
  const n = s.threads.value?.size;
  return (
    <div class="tabs">
      <div class="group">
        <button aria-pressed={s.panel.value === 'functions'} title="Functions (f)" onClick={() => (s.panel.value = 'functions')}>Functions</button>
        <button aria-pressed={s.panel.value === 'threads'} title="Threads (h)" onClick={() => (s.panel.value = 'threads')}>{n ? `Threads: ${n}` : 'Threads'}</button>
      </div>
      {children}
    </div>
  );
}
