import { render } from 'preact';
import { decode } from './data/decode';
import { fromBase64, gunzip } from './data/inflate';
import { createState, keepInAddress } from './state';
import { App } from './ui/app';
import './style.css';

function say(text: string): void {
  const p = document.createElement('p');
  p.className = 'boot';
  p.textContent = text;
  document.getElementById('app')!.replaceChildren(p);
}

async function start(): Promise<void> {
  const block = document.getElementById('scry-profile')?.textContent;
  if (!block) return say('There is no profile in this page. scry writes one with: scry cpu -p PID -o FILE.html');
  performance.mark('scry:start');
  const profile = decode(await gunzip(fromBase64(block)));
  performance.mark('scry:read');
  const state = createState(profile);
  document.title = `${profile.command || 'profile'} \u2013 scry`;
  keepInAddress(state);
  const app = document.getElementById('app')!;
  app.replaceChildren();
  render(<App s={state} />, app);
}

start().catch((e: unknown) => {
  say(`This page's profile cannot be shown: ${e instanceof Error ? e.message : String(e)}. Write the page again, or open the profile with another tool.`);
  console.error(e);
});
