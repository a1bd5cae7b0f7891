// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vite';

const server = process.env.TESSERA_SERVER ?? 'http://127.0.0.1:7070';

export default defineConfig({
  // Everything a page needs is a file of ours: the server's content security policy allows no inline code.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, emptyOutDir: true },
  server: { proxy: { '/v1': { target: server } } },
});
