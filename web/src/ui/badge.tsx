import { fillOf } from '../flame/palette';
import type { State } from '../state';

export function Badge({ s, sym }: { s: State; sym: number }) {
  const kind = s.kinds.kinds[s.kinds.kindOf[sym]];
  if (!kind) return null;
  return (
    <span class="badge" style={{ background: fillOf(kind, 2, s.dark.value) }} title={kind.name} aria-label={kind.name} role="img">
      {kind.letter}
    </span>
  );
}

/* "file.py:12", short; the whole path belongs into a title. */
export function place(file: string, line: number): string {
  const name = file.slice(file.lastIndexOf('/') + 1);
  return line && name ? `${name}:${line}` : name;
}
