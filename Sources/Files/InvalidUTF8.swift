extension Collection<UInt8> {
    /// The offset of the first byte that is not UTF-8; nil where all are.
    public var firstInvalidUTF8: Int? {
        var (offset, decoder, iterator) = (0, UTF8(), makeIterator())
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): offset += UTF8.width(scalar)
            case .emptyInput: return nil
            case .error: return offset
            }
        }
    }
}
