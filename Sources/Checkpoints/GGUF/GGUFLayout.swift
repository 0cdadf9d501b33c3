import Models

/// The GGUF form of a family: the architectures it is written as, and its names of the weights.
struct GGUFLayout: Sendable {
    /// The architecture of models whose layers have the same numbers of heads.
    let architecture: String
    /// The same with numbers of each layer's own.
    let perLayerArchitecture: String
    /// Names of modules; those of a layer stand behind "blk.N.".
    let names: [WeightName.Module: String]

    /// The name of a weight; nil where the architecture has no such module.
    func name(of weight: WeightName) -> String? { names[weight.module].map { weight.stored($0, layers: "blk") } }
}
