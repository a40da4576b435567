// fast-check with one seed for everybody, so that a run says something about the commit and not about its luck.
import * as fc from 'fast-check';

// `npm run test:fuzz` draws a new seed instead; what it finds becomes an example of its test.
if (process.env['ATTUNE_FUZZ'] === undefined) fc.configureGlobal({ seed: 20_261_122 });

export { fc };
