// Jest's transform for TypeScript: Node's own type stripping, since TypeScript 7 has no compiler API for ts-jest.
import { stripTypeScriptTypes } from 'node:module';

export default {
  process(source) {
    return { code: stripTypeScriptTypes(source) };
  },
};
