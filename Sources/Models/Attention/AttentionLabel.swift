extension ModelConfig {
    /// A short name of the attention: MHA, MQA or GQA with its KV heads (of each layer where they differ), or MLA with its rank.
    /// Before it stands CLA with the number of sharing layers, or YOCO; after it the window of windowed layers.
    public var attentionLabel: String {
        if let attentionShape { return attentionShape.label }
        let kinds = (0..<layers).map { layer in
            kvHeads[layer] == heads[layer] ? "MHA" : kvHeads[layer] == 1 ? "MQA" : "GQA-\(kvHeads[layer])"
        }
        let plain =
            Set(kinds).count == 1 ? kinds[0] : "GQA [\((0..<layers).map { String(kvHeads[$0]) }.joined(separator: " "))]"
        let windows = Set((0..<layers).compactMap { window($0) }).sorted()
        let full = (0..<layers).count { window($0) == nil }
        let sinks = attentionSinks.map { "+\($0)" } ?? ""
        let suffix = windows.isEmpty ? "" : " w\(windows.map(String.init).joined(separator: "/"))\(sinks)"
        let sets = Set((0..<layers).map { keyValueSource($0) ?? $0 }).count
        guard sets < layers else { return windows.isEmpty ? plain : "\(plain)\(suffix), \(full) of \(layers) full" }
        if !windows.isEmpty, sets == layers - full + 1 { return "YOCO \(plain)\(suffix)" }
        let share = Double(layers) / Double(sets)
        return "CLA-\(share == share.rounded() ? String(Int(share)) : "\(sets)/\(layers)") \(plain)\(suffix)"
    }
}
