import Console
import Foundation
import Logging

/// A swift-log handler that writes messages as notes, a line each: time, level, label, metadata and message.
struct NoteLogHandler: LogHandler {
    let label: String
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String) { self.label = label }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata.merging(metadataProvider?.get() ?? [:]) { $1 }
        all.merge(event.metadata ?? [:]) { $1 }
        let fields = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let reason = event.error.map { ": \($0)" } ?? ""
        let time = Date().formatted(.iso8601)
        note("\(time) \(event.level) \(label):\(fields) [\(event.source)] \(event.message)\(reason)".onOneLine)
    }
}
