/** In place of mime-db: every response of the exporter states its content type itself. */
module.exports = {};
