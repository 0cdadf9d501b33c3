/// What stops a model from being served as asked.
public enum InferenceError: Error, CustomStringConvertible, Equatable {
    /// Pages of this many bytes cannot be: a page is a positive multiple of 64.
    case pageSize(Int)
    /// The cache memory holds no page, too many, or more than the system gives.
    case memory(bytes: Int, pageBytes: Int)
    /// One token of a layer takes more than a page.
    case pageTooSmall(layer: Int, tokenBytes: Int, pageBytes: Int)
    /// The models' guaranteed pages are more than there are.
    case guarantees([Int], pages: Int)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .pageSize(let bytes): "a page of \(bytes) bytes cannot be; use a positive multiple of 64, such as 16KiB"
        case .memory(let bytes, let pageBytes):
            "\(bytes) bytes of cache memory cannot be had in pages of \(pageBytes) bytes; change --kv-memory or --page"
        case .pageTooSmall(let layer, let token, let page):
            "layer \(layer) caches \(token) bytes a token, a page has \(page); use a larger --page"
        case .guarantees(let shares, let pages):
            "the models are guaranteed \(shares.reduce(0, +)) pages, there are \(pages); use more --kv-memory"
        }
    }
}
