/* Says whether the committed page is what the committed source builds: npm run check-dist */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), 'scry-viewer-'));
try {
  const vite = join(here, 'node_modules', 'vite', 'bin', 'vite.js');
  execFileSync(process.execPath, [vite, 'build', '--logLevel', 'error', '--outDir', fresh, '--emptyOutDir'], { cwd: here, stdio: 'inherit' });
  const committed = readFileSync(join(here, 'dist', 'viewer.html'));
  if (!committed.equals(readFileSync(join(fresh, 'viewer.html')))) {
    console.error('web/dist/viewer.html is not what web/src builds. Run: cd web && npm ci && npm run build');
    process.exitCode = 1;
  } else console.log(`web/dist/viewer.html equals its source (${committed.length} bytes)`);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
