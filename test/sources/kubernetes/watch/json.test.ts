import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseObject } from '../../../../src/sources/kubernetes/watch/json.ts';
import { archive } from '../../../support/kubernetes-archive.ts';

const read = (text: string): unknown => parseObject(Buffer.from(text, 'utf8'));

test('recorded objects are parsed without their managedFields', () => {
  for (const line of archive('drain').watch('pods')) {
    const whole = JSON.parse(line) as { object: { metadata: { managedFields?: unknown } } };
    if (whole.object.metadata.managedFields !== undefined) whole.object.metadata.managedFields = [];
    expect(read(line)).toEqual(whole);
  }
});

test('any JSON is parsed without its managedFields', () => {
  const array = fc.array(fc.jsonValue());
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      array,
      fc.jsonValue(),
      (before, fields, after) => {
        const metadata = (managedFields: unknown) => ({ metadata: { before, managedFields, after } });
        expect(read(JSON.stringify(metadata(fields)))).toEqual(JSON.parse(JSON.stringify(metadata([]))));
      },
    ),
  );
});

test.each([
  { a: '"managedFields":[1' },
  { '"managedFields': [1, 2] },
  { a: { b: '\\' }, managedFields: null },
  { managedFields: {} },
])('%j, which has no managedFields array, is parsed completely', (value) => {
  expect(read(JSON.stringify(value))).toEqual(value);
});

test.each([
  '',
  '{"managedFields":[',
  '{"managedFields":["',
  '{"managedFields":["\\',
  '{"a":1',
  '{"managedFields":[]',
])('invalid JSON is rejected: %s', (text) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ name: 'SyntaxError' }));
});
