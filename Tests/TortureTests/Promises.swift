/// The promises that this target proves; the documentation's page on reliability has the command for each.
///
/// 1. Kill or full disk at any moment: the old file or the new one, and the resumed run is bit-identical.
/// 2. No changed byte of a checkpoint is ever used.
/// 3. A hostile model file cannot hurt the process that opens it.
/// 4. No client can end the server, keep a page or grow its memory.
/// 5. Keys never share cache or sight by default.
///
/// One file a promise. Each runs a share of two minutes in all with the other tests, and all of it under `make torture`
/// (`KVLAB_TORTURE`, see `Torture` in TestSupport).
enum Promises {}
