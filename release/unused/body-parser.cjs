/** In place of body-parser: express offers it to its users, and no route of the exporter reads a body. */
