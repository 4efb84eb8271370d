/**
 * In place of body-parser in the bundle: express offers it to its users, no route of the exporter reads a body, and its
 * tables of character sets are a third of all code that is loaded at the start.
 */
