import { expect, test } from '@jest/globals';
import { readRelativePath } from '../../src/buckets/paths.ts';

test.each([
  ['@hashed/ab/cd/abcd.git', '@hashed/ab/cd/abcd.git'],
  ['./@hashed/ab/cd/abcd.git', '@hashed/ab/cd/abcd.git'],
  ['.//./a.git//', 'a.git'],
  ['gruppe/Projekt ä.git', 'gruppe/Projekt ä.git'],
  ['.git', '.git'],
  ['a/./b.git', 'a/./b.git'],
])('the path %p is read as %p', (written, path) => {
  expect(readRelativePath(written)).toEqual({ ok: true, path });
});

test.each([
  ['/var/opt/gitlab/git-data/repositories/a.git', 'absolute'],
  ['', 'empty'],
  ['./', 'empty'],
  ['.', 'empty'],
  ['../a.git', '..'],
  ['a/../b.git', '..'],
  ['a.git\0b.git', '-0'],
  ['a'.repeat(5000), 'longer'],
])('the path %p is rejected', (written, why) => {
  expect(readRelativePath(written)).toEqual({ ok: false, problem: expect.stringContaining(why) });
});
