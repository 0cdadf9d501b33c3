import Inference

/// Commands as a shell reads them.
enum ShellLine {
    /// The words of a command in one line, quoted where a shell would read them otherwise.
    static func text(_ words: [String]) -> String {
        words.map { word in
            let isPlain = word.unicodeScalars.allSatisfy {
                $0.properties.isAlphabetic || "0123456789._-/=,%:+".unicodeScalars.contains($0)
            }
            return isPlain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
        }.joined(separator: " ")
    }

    /// The command that serves the model at `path` through a cache.
    static func serve(_ path: String, _ cache: CacheSpec) -> String {
        let flags = cache.settings.flatMap { key, value in
            // Of a cache's keys the policy alone is a flag without the prefix; an encoding is a dtype of keys and values too.
            [key == "evict" ? "--evict" : "--kv-\(key)", value]
        }
        return text(["kvlab", "serve", path] + flags)
    }
}
