/* Numbers as people read them. */
const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export function count(n: number): string {
  return grouped.format(n);
}

export function percent(part: number, whole: number): string {
  if (!(whole > 0)) return '\u2013';
  const p = (100 * part) / whole;
  if (p === 0) return '0%';
  if (p >= 99.995) return part < whole ? '>99.99%' : '100%';
  if (p < 0.01) return '<0.01%';
  return `${p.toFixed(2)}%`;
}

function scaled(v: number, units: [number, string][]): string {
  const [size, name] = units.find(([s]) => Math.abs(v) >= s) ?? units[units.length - 1];
  const x = v / size;
  const digits = Number.isInteger(x) && Math.abs(x) < 1000 ? 0 : Math.abs(x) >= 100 ? 0 : Math.abs(x) >= 10 ? 1 : 2;
  return `${digits === 0 ? grouped.format(x) : x.toFixed(digits)}\u00a0${name}`;
}

export function duration(ns: number): string {
  if (ns >= 120e9) {
    const s = Math.round(ns / 1e9);
    const h = Math.floor(s / 3600);
    const m = Math.floor((s % 3600) / 60);
    return h ? `${h}\u00a0h ${m}\u00a0min` : `${m}\u00a0min ${s % 60}\u00a0s`;
  }
  return ns === 0 ? '0\u00a0s' : scaled(ns, [[1e9, 's'], [1e6, 'ms'], [1e3, '\u00b5s'], [1, 'ns']]);
}

export function bytes(n: number): string {
  return scaled(n, [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB'], [1, 'B']]);
}

/* A value in the unit of its type: what profiles call their units is not of one mind. */
export function value(v: number, unit: string): string {
  switch (unit) {
    case 'nanoseconds':
    case 'ns':
      return duration(v);
    case 'microseconds':
      return duration(v * 1e3);
    case 'milliseconds':
      return duration(v * 1e6);
    case 'seconds':
      return duration(v * 1e9);
    case 'bytes':
    case 'byte':
      return bytes(v);
    case 'count':
    case 'samples':
    case '':
      return count(v);
    default:
      return `${count(v)} ${unit}`;
  }
}
