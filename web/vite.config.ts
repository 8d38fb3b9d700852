/* Builds the viewer into one HTML file without a single outside reference: dist/viewer.html.
 * scry writes a profile into it at the marker that index.html holds; see src/format/html.c. */
import { defineConfig, type Plugin } from 'vite';

const LIMIT = 150 * 1024;

/* Puts the one script and the one style sheet into the page. */
function oneFile(): Plugin {
  return {
    name: 'one-file',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const page = bundle['index.html'];
      if (page?.type !== 'asset') throw new Error('no page was built');
      let script = '';
      let style = '';
      for (const [name, item] of Object.entries(bundle)) {
        if (item === page) continue;
        if (item.type === 'chunk') script += item.code;
        else if (name.endsWith('.css')) style += String(item.source);
        else throw new Error(`${name} cannot be put into the page`);
        delete bundle[name];
      }
      if (/<\/(script|style)/i.test(script + style)) throw new Error('the code would end its own element');
      let html = String(page.source)
        .replace(/<script[^>]*src=[^>]*><\/script>\s*/g, '')
        .replace(/<link[^>]*rel="stylesheet"[^>]*>\s*/g, '');
      html = html.replace('<!--style-->', () => `<style>${style.trim()}</style>`);
      html = html.replace('<!--script-->', () => `<script type="module">${script.trim()}</script>`);
      if (Buffer.byteLength(html) > LIMIT) throw new Error(`the page has ${html.length} bytes, more than ${LIMIT}`);
      // eslint-disable-next-line no-control-regex
      if (/[^\x00-\x7f]/.test(html)) throw new Error('the page must be plain ASCII: say \\u… instead');
      page.fileName = 'viewer.html';
      page.source = html.endsWith('\n') ? html : html + '\n';
    },
  };
}

export default defineConfig({
  base: './',
  plugins: [oneFile()],
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', charset: 'ascii', legalComments: 'none' },
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    emptyOutDir: true,
    reportCompressedSize: false,
  },
});
