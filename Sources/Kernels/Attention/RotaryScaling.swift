extension RotaryTable {
    /// The table with cosines and sines times `factor`, which scales rotated queries and keys by it.
    public func scaled(by factor: Float) -> RotaryTable {
        guard factor != 1 else { return self }
        // Fresh storage, held by the copy alone.
        let copy = RotaryTable(copying: self)
        for index in 0..<copy.cosine.count {
            unsafe copy.cosine.pointer[index] *= factor
            unsafe copy.sine.pointer[index] *= factor
        }
        return copy
    }

    /// The factor on cosines and sines, 1 unless the table was scaled.
    var amplitude: Float { positions > 0 && headDim > 0 ? cosine[0] : 1 }
}
