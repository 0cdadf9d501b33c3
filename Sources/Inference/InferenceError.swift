import Models

/// A reason why a model or a request cannot be served.
public enum InferenceError: Error, CustomStringConvertible, Equatable {
    /// An invalid page size: a page has a positive multiple of 64 bytes, and at most a gigabyte.
    case pageSize(Int)
    /// The cache memory holds no page or too many, or exceeds the system's.
    case memory(bytes: Int, pageBytes: Int)
    /// The encoding cannot store a layer's keys or values.
    case encoding(EncodingMismatch)
    /// One token of a layer, or a block of tokens that are encoded together, takes more than a page.
    case pageTooSmall(layer: Int, tokens: Int, bytes: Int, pageBytes: Int)
    /// An encoding of blocks of tokens comes with a policy that evicts single slots.
    case blocksWithEviction(encoding: String, tokens: Int, policy: String)
    /// The models' guarantees exceed the pool.
    case guarantees([Int], pages: Int)
    /// One token of a model takes more pages than the model can ever have.
    case modelTooLarge(model: String, pages: Int, available: Int)

    /// No eviction policy has this name.
    case noPolicy(String)
    /// No merge has this name.
    case noMerge(String)
    /// An eviction policy lacks its budget.
    case noBudget(policy: String)
    /// A policy that keeps whole heads lacks the file that ranks them.
    case noHeadScores(policy: String)
    /// The file at a path is no file of head scores, or of another model or policy; with a path of nil the reason names it.
    case headScores(path: String?, reason: String)
    /// An option of evictions comes without a policy.
    case optionWithoutPolicy(option: String)
    /// An option means nothing to an eviction policy.
    case foreignOption(String, policy: String)
    /// An option of evictions is below its least value.
    case optionTooSmall(String, value: Int, least: Int, reason: String)
    /// A policy decides behind a prompt, or its budget is a share of one, and there is none.
    case policyWithoutPrompt(policy: String)
    /// A merge changes values at a decision, and all rows of a training pass see the same values.
    case trainedMerge(String)
    /// A policy frees slots of single KV heads, and the cache's pages hold all heads of a layer.
    case headsShareBudgets(policy: String)
    /// A policy has the model repeat a prompt behind it, and there are too few positions behind the prompt.
    case noRoomToRepeat(policy: String, prompt: Int, positions: Int)
    /// Prefixes are to be compressed for all requests that share them, by a policy that scores slots by queries, or by none.
    case noSharedPrefixes(policy: String?)
    /// A policy has no layer of a model to act on.
    case policyWithoutLayers(policy: String, reason: String)

    /// No model has this number.
    case noModel(Int)
    /// A prompt has no tokens.
    case emptyPrompt
    /// A token of a prompt is outside the model's vocabulary.
    case token(Int32, vocabulary: Int)
    /// A prompt leaves no room for an answer, in the model's positions or in the cache memory.
    case promptTooLong(tokens: Int, limit: Int)
    /// A sequence of this many tokens exceeds the model's positions or the cache memory.
    case tooManyTokens(Int, limit: Int)
    /// A sampling option is out of its range.
    case sampling(option: String, value: String, expected: String)
    /// The queue has its limit of waiting requests.
    case queueFull(Int)
    /// The engine is stopping and takes no more requests.
    case stopping
    /// A cache's configuration is not of its grammar, in a sentence.
    case cacheSpec(String)
    /// The swap file cannot be written or read back; `code` is errno.
    case swap(path: String, code: Int32)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .pageSize(let bytes): "a page of \(bytes) bytes cannot be; use a multiple of 64 from 64 to 1GiB, such as 16KiB"
        case .memory(let bytes, let pageBytes):
            "\(bytes) bytes of cache memory cannot be had in pages of \(pageBytes) bytes; change --kv-memory or --page"
        case .encoding(let mismatch): mismatch.description
        case .pageTooSmall(let layer, let tokens, let bytes, let page):
            "layer \(layer) caches \(bytes) bytes \(tokens == 1 ? "a token" : "for each \(tokens) tokens"), a page has \(page); use a larger --page"
        case .blocksWithEviction(let encoding, let tokens, let policy):
            "\(encoding) encodes \(tokens) tokens together, '\(policy)' evicts single ones; use another --kv-dtype, or no --evict"
        case .guarantees(let shares, let pages):
            "the models are guaranteed \(shares.reduce(0, +)) pages, there are \(pages); use more --kv-memory"
        case .modelTooLarge(let model, let pages, let available):
            "one token of \(model) takes \(pages) pages, it can have \(available); use more --kv-memory or a smaller --page"
        case .noPolicy(let name):
            "there is no eviction policy '\(name)'"
                + (EvictionPolicies.leftOut[name].map { ": \($0); use one of " } ?? ", expected one of ")
                + EvictionPolicies.names.joined(separator: ", ")
        case .noMerge(let name): "there is no merge '\(name)', expected one of \(SlotMerges.names.joined(separator: ", "))"
        case .noBudget(let policy):
            "--evict \(policy) needs --kv-budget, slots such as 512 or a share of the prompt such as 25%"
        case .noHeadScores(let policy): "--evict \(policy) needs --kv-scores, a file that kvlab heads writes of the model"
        case .headScores(let path, let reason): (path.map { $0 + ": " } ?? "") + reason
        case .optionWithoutPolicy(let option): "\(option) means nothing without --evict; name a policy"
        case .foreignOption(let option, let policy): "\(option) means nothing for '\(policy)'"
        case .optionTooSmall(let option, let value, let least, let reason):
            "\(option) is \(value), expected at least \(least)" + (reason.isEmpty ? "" : ": \(reason)")
        case .policyWithoutPrompt(let policy):
            "'\(policy)' with this budget goes by a prompt, and there is none; say with --prefill how many tokens it has"
        case .trainedMerge(let merge):
            "'\(merge)' changes kept values when slots are evicted, which training through a cache does not; leave the merge out"
        case .headsShareBudgets(let policy):
            "'\(policy)' frees slots of single KV heads, and the cache's pages hold all heads of a layer; serve with an --evict or "
                + "--kv-allocate that divides budgets among heads"
        case .noRoomToRepeat(let policy, let prompt, let positions):
            "'\(policy)' has the model repeat a prompt behind it, and \(prompt) tokens leave too few of the model's \(positions) "
                + "positions; use a shorter prompt or another --evict"
        case .noSharedPrefixes(let policy):
            (policy.map { "'\($0)' scores slots by queries, and those of requests come behind a prefix that they share; " }
                ?? "--compress-prefixes means nothing without --evict; ")
                + "use one of \(EvictionPolicies.namesOfQueryAgnostic.joined(separator: ", "))"
        case .policyWithoutLayers(let policy, let reason): "'\(policy)' cannot act on the model: \(reason)"
        case .noModel(let model): "there is no model \(model)"
        case .emptyPrompt: "the prompt has no tokens; give at least one"
        case .token(let id, let vocabulary): "the prompt has token \(id), the model's go from 0 to \(vocabulary - 1)"
        case .promptTooLong(let tokens, let limit):
            "the prompt has \(tokens) tokens, at most \(limit) leave room for an answer; shorten it"
        case .tooManyTokens(let tokens, let limit):
            "a sequence of \(tokens) tokens was asked for, the model and the cache memory have room for \(limit); use fewer"
        case .sampling(let option, let value, let expected): "'\(option)' is \(value), expected \(expected)"
        case .queueFull(let count): "\(count) requests are waiting already; try again later"
        case .stopping: "the server is shutting down"
        case .cacheSpec(let sentence): sentence
        case .swap(let path, let code): "\(path): cannot swap a sequence's pages, error \(code)"
        }
    }
}
