import Models

/// The GGUF form of a family: its architectures and its names of the weights.
struct GGUFLayout: Sendable {
    /// The architecture of models whose layers have the same numbers of heads.
    let architecture: String
    /// The architecture of models whose layers have different numbers of heads.
    let perLayerArchitecture: String
    /// The names of the modules; a layer's follow "blk.N.".
    let names: [WeightName.Module: String]

    /// The name of a weight; nil where the architecture has no such module.
    func name(of weight: WeightName) -> String? { names[weight.module].map { weight.stored($0, layers: "blk") } }
}
