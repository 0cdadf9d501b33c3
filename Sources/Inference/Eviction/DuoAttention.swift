/// DuoAttention: retrieval heads keep every slot, streaming heads attention sinks and the newest tokens (Xiao et al. 2024,
/// "DuoAttention: Efficient Long-Context LLM Inference with Retrieval and Streaming Heads", section 2).
///
/// A head's score is its gate, which `kvlab heads` finds on passkeys. Of equal gates the lower layer's and head's streams first, as in
/// kvpress's `DuoAttentionPress`, whose `head_compression_ratio` is the share of streaming heads. Sinks and newest tokens
/// are those of the authors' patterns.
struct DuoAttention: HeadPolicy {
    let name = "duo-attention"
    let scoreNames = ["gate"]
    let sinks = 128

    func newest(of budget: Int) -> Int { 256 }

    func ranking(_ scores: [[Double]]) -> [Int] {
        scores[0].indices.sorted { (scores[0][$0], $0) > (scores[0][$1], $1) }
    }
}
