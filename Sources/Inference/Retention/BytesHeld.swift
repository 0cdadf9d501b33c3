import Kernels
import Models

extension ModelConfig {
    /// Bytes of the keys and values that `retention` keeps of `tokens` tokens, of which the first `context` are its prompt.
    public func bytesHeld(_ encoding: CacheEncoding, _ retention: any Retention, tokens: Int, context: Int) -> Int {
        let geometry = kvGeometry(encoding)
        let streams = geometry.indices.filter { geometry[$0].window == nil && geometry[$0].source == nil }
        var bytes = 0
        for (layer, shape) in geometry.enumerated() {
            guard let stream = streams.firstIndex(of: layer) else {
                bytes += shape.bytes(tokens: tokens)
                continue
            }
            let own = retention.stream(stream, of: streams.count)
            let parts = own.budgetScope == .own ? shape.streams(under: own) : [shape]
            for (kept, shape) in zip(own.heads(parts.count), parts) {
                var (slots, at) = (0, 0)
                while let next = kept.nextDecision(after: at, prompt: context), next <= tokens {
                    slots = min(slots + next - at, kept.mostRetained(at: next, prompt: context))
                    at = next
                }
                bytes += shape.bytes(tokens: slots + tokens - at)
            }
        }
        return bytes
    }
}
