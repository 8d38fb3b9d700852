import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { State } from '../state';

export const helpOpen = signal(false);

const KEYS: [string, [string, string][]][] = [
  ['In the graph', [
    ['\u2190 \u2192', 'box before, box after'],
    ['\u2191 \u2193', 'caller, callee (as drawn)'],
    ['Enter', 'zoom into the box'],
    ['Esc', 'zoom out one box'],
    ['0', 'whole profile again'],
    ['+  \u2212', 'zoom freely; shift+\u2190\u2192 moves'],
    ['c', 'callers and callees of the function'],
    ['y', "copy the function's name"],
  ]],
  ['Search', [
    ['/', 'search: a regular expression or plain text'],
    ['n  N', 'next and previous match, heaviest first'],
    ['file:\u2026', 'looks at files and libraries instead of names'],
  ]],
  ['View', [
    ['i', 'icicle or flame'],
    ['v', 'inverted: leaves first'],
    ['b', 'a box for each thread'],
    ['k', "the interpreter's own frames"],
    ['f  h', 'list of functions, list of threads'],
    ['t', 'light or dark'],
    ['?', 'this help'],
  ]],
  ['Mouse', [
    ['click', 'zoom, and details of the function'],
    ['double click', 'callers and callees in full height'],
    ['ctrl+wheel', 'zoom at the pointer'],
    ['drag', 'move sideways and up and down'],
    ['drag in the strip', 'only samples of that time'],
  ]],
];

export function Help({ s }: { s: State }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-label="Keys and help" onClose={() => (helpOpen.value = false)}
      onClick={(e) => e.target === dialog.current && dialog.current?.close()}>
      <h2>Reading this page</h2>
      <p style={{ margin: '0 0 6px' }}>
        A box is a function in its place in the stack; its width is how much of the profile ran in it and in what it called.
        <b> Self</b> is time in the function's own code, <b>total</b> includes its callees and counts a recursive function once.
        {s.p.frameFlags.some((f) => f & 2) && ' "~" marks frames that were found by frame pointer only.'}
        {' '}A dashed underline marks a box that is not a named function.
      </p>
      <div class="cols">
        {KEYS.map(([title, keys]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>{keys.map(([k, text]) => [<dt key={k}><kbd>{k}</kbd></dt>, <dd>{text}</dd>])}</dl>
          </section>
        ))}
      </div>
      <p style={{ margin: '12px 0 0', textAlign: 'right' }}><button class="btn" onClick={() => dialog.current?.close()}>Close</button></p>
    </dialog>
  );
}
