import Autograd
import Kernels

/// Gates of KV heads between whole attention and streaming attention, in which a row sees the attention sinks and the newest tokens alone
/// (Xiao et al. 2024, "DuoAttention", section 2.2):
///
///     attention = α · whole + (1 − α) · streaming
///
/// Gradients reach the gates through all later layers. Layers with a window have no gates.
public struct HeadGates: Sendable {
    /// The gates [kvHeads] of each layer whose attention is mixed, and of those that share its keys and values; nil for others.
    private let layers: [Tensor?]
    /// First tokens that streaming attention sees, and the newest, the row's own among them.
    public let sinks: Int, recent: Int

    /// The `gates` of the layers of `config` with keys and values of their own and no window, in order, a tensor [kvHeads] each.
    ///
    /// Precondition: `recent` is at least 1, and there are as many gates as such layers and KV heads.
    public init(_ config: ModelConfig, _ gates: [Tensor], sinks: Int, recent: Int) {
        precondition(sinks >= 0 && recent >= 1, "HeadGates: \(sinks) sinks and the newest \(recent)")
        (self.sinks, self.recent) = (sinks, recent)
        var (rest, layers) = (gates[...], [Tensor?]())
        for geometry in config.kvGeometry(.float32) {
            if geometry.window != nil {
                layers.append(nil)
            } else if let source = geometry.source {
                layers.append(layers[source])
            } else {
                guard let gate = rest.popFirst(), gate.shape.count == geometry.kvHeads else {
                    preconditionFailure(
                        "HeadGates: \(gates.map(\.shape)) for layer \(layers.count), \(geometry.kvHeads) KV heads")
                }
                layers.append(gate)
            }
        }
        precondition(rest.isEmpty, "HeadGates: \(gates.count) rows of gates, \(rest.count) too many")
        self.layers = layers
    }

    /// The layers of `config` that have gates of their own, and KV heads of each.
    public static func layers(of config: ModelConfig) -> [(layer: Int, kvHeads: Int)] {
        config.kvGeometry(.float32).enumerated().filter { $0.element.window == nil && $0.element.source == nil }.map {
            ($0.offset, $0.element.kvHeads)
        }
    }

    /// The attention of `layer` over `input`, [batch·seq, heads·valueDim], that `attend` gives for what rows see.
    func mixed(_ layer: Int, _ input: ModelInput, _ attend: (ModelInput) -> Tensor) -> Tensor {
        var plain = input
        plain.gates = nil
        let whole = attend(plain)
        guard let gates = layers[layer] else { return whole }
        plain.cache = streaming(input, layer: layer, kvHeads: gates.shape.count)
        let streaming = attend(plain)
        let width = whole.shape[-1]
        let columns = gates.reshaped(gates.shape.count, 1) * Tensor(repeating: 1, shape: [1, width / gates.shape.count])
        return streaming + (whole - streaming) * columns.reshaped(1, width)
    }

    /// The view of a cache in which a key that is no sink is seen by its own row and the next ones, `recent` in all.
    private func streaming(_ input: ModelInput, layer: Int, kvHeads: Int) -> CacheView {
        precondition(
            input.keyStarts == nil && input.cache == nil, "HeadGates: sequences are whole, and go through no cache of their own")
        var view = CacheView(layers.map { _ in KVEncoding.float32 }, input)
        let ends = (0..<input.seq).map { Int32($0 < sinks ? input.seq : min(input.seq, $0 + recent)) }
        view.rowEnds[layer] = [[Int32]](repeating: ends, count: input.batch * kvHeads).flatMap { $0 }
        return view
    }
}
