import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEventParser, parseObject } from '../../../../src/sources/kubernetes/watch/json.ts';
import { archive, archiveNames } from '../../../support/kubernetes-archive.ts';

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

describe('events of a watch', () => {
  const withoutManagedFields = (text: string): unknown =>
    JSON.parse(text, (key, value: unknown) => (key === 'managedFields' && Array.isArray(value) ? [] : value));

  test.each(archiveNames)('the recorded ones of %s are parsed without their managedFields', (name) => {
    for (const resource of ['pods', 'statefulsets', 'poddisruptionbudgets', 'nodes', 'events']) {
      const lines = archive(name).watch(resource);
      const parse = createEventParser();
      for (const line of [...lines, ...lines])
        expect(parse(Buffer.from(line, 'utf8'))).toEqual(withoutManagedFields(line));
    }
  });

  test('each has its own spec, whatever the events of its object before it had', () => {
    const spec = fc.oneof(
      fc.constantFrom({}, { a: 1 }, { a: 12 }, { a: '"}' }, { b: '\\' }, { spec: {} }, 1, null, [{}]),
      fc.dictionary(fc.string(), fc.jsonValue()),
    );
    const event = fc.record({
      type: fc.constant('MODIFIED'),
      object: fc.record({
        metadata: fc.record({ uid: fc.constantFrom('a', 'b'), managedFields: fc.constant([{ spec: {} }]) }),
        spec,
        status: fc.jsonValue(),
      }),
    });
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 8 }), (events) => {
        const parse = createEventParser();
        for (const each of events) {
          const text = JSON.stringify(each);
          expect(parse(Buffer.from(text, 'utf8'))).toEqual(withoutManagedFields(text));
        }
      }),
    );
  });

  test('the spec of an object within the object is not taken for its own', () => {
    const parse = createEventParser();
    const inner = { metadata: { uid: 'a', managedFields: [] }, spec: { of: 'template' } };
    for (const text of [
      JSON.stringify({ object: { template: inner } }),
      JSON.stringify({ object: { template: inner, spec: { of: 'set' } } }),
      JSON.stringify({ object: { spec: { of: 'set' }, template: inner } }),
    ])
      expect(parse(Buffer.from(text, 'utf8'))).toEqual(JSON.parse(text));
  });

  test('an unchanged spec is parsed once', () => {
    const parse = createEventParser();
    const event = (uid: string, spec: unknown, status: number): Buffer =>
      Buffer.from(JSON.stringify({ object: { metadata: { uid, managedFields: [] }, spec, status } }));
    const specOf = (bytes: Buffer): unknown => (parse(bytes) as { object: { spec: unknown } }).object.spec;
    const first = specOf(event('a', { node: 'n1' }, 1));
    expect(specOf(event('a', { node: 'n1' }, 2))).toBe(first);
    expect(specOf(event('b', { node: 'n1' }, 2))).not.toBe(first);
    expect(specOf(event('a', { node: 'n2' }, 3))).toEqual({ node: 'n2' });
  });

  test.each([
    '{"object":{"metadata":{"managedFields":[]},"spec":{',
    '{"object":{"metadata":{"managedFields":[]},"spec":{"a":"',
    '{"object":{"metadata":{"managedFields":[]},"spec":{"a":]}}}',
    '{"object":{"metadata":{"managedFields":[]},"spec":{}}',
  ])('one that is not JSON is rejected: %s', (text) => {
    expect(() => createEventParser()(Buffer.from(text, 'utf8'))).toThrow(
      expect.objectContaining({ name: 'SyntaxError' }),
    );
  });
});
