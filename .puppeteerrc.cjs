/** `npm ci` downloads no browser, and so cannot fail for want of one: src/cli/browser/find.ts finds or fetches it. */
module.exports = { skipDownload: true };
