import Kernels

/// The RoPE planes of heads: row i and row i + r/2 of a head are the real and the imaginary part of one complex row, and its
/// product with a complex number commutes with the rotation by position. r is the head dim, or under partial rotary positions
/// the number of rotated rows; the other rows have no planes.
enum HeadPlanes {
    /// A complex number.
    struct Factor: Equatable {
        var re: Double
        var im: Double

        var conjugate: Factor { Factor(re: re, im: -im) }
        var magnitude: Double { (re * re + im * im).squareRoot() }
        func scaled(by s: Double) -> Factor { Factor(re: re * s, im: im * s) }
    }

    /// Multiplies plane `plane` of the head whose first row is `start` by `factor`.
    static func multiply(_ matrix: inout DenseMatrix, start: Int, rotaryDim: Int, plane: Int, by factor: Factor) {
        let (a, b) = (start + plane, start + plane + rotaryDim / 2)
        for column in 0..<matrix.columns {
            let (x, y) = (matrix[a, column], matrix[b, column])
            matrix[a, column] = factor.re * x - factor.im * y
            matrix[b, column] = factor.re * y + factor.im * x
        }
    }

    /// The complex inner products c_j S c_lᴴ of one plane of several heads, as the real symmetric matrix [[Re, −Im], [Im, Re]]
    /// of twice the side, row j and column l times √(w_j w_l).
    ///
    /// `gram` is K S Kᵀ [heads·d, heads·d] over the heads.
    static func products(
        _ gram: DenseMatrix, heads: Int, headDim: Int, rotaryDim: Int, plane: Int, weights: [Double]
    ) -> DenseMatrix {
        var result = DenseMatrix(rows: 2 * heads, columns: 2 * heads)
        for j in 0..<heads {
            for l in 0..<heads {
                let (rj, rl) = (j * headDim + plane, l * headDim + plane)
                let (ij, il) = (rj + rotaryDim / 2, rl + rotaryDim / 2)
                let weight = (weights[j] * weights[l]).squareRoot()
                let re = weight * (gram[rj, rl] + gram[ij, il])
                let im = weight * (gram[ij, rl] - gram[rj, il])
                result[j, l] = re
                result[heads + j, heads + l] = re
                result[j, heads + l] = -im
                result[heads + j, l] = im
            }
        }
        return result
    }

    /// The unit eigenvector of the largest eigenvalue, as complex numbers.
    static func leading(_ products: DenseMatrix) throws -> [Factor] {
        let heads = products.rows / 2
        let vector = try products.symmetricEigen().vectors
        return (0..<heads).map { Factor(re: vector[0, $0], im: vector[0, heads + $0]) }
    }

    /// One complex row for the keys of several heads in one plane: k ≈ v/√w · row, with row = Σ v̄·√w·k.
    struct Merged {
        /// The real and the imaginary part, [2, hidden].
        var rows: DenseMatrix
        /// v, the leading direction of the heads' rows weighted by √w.
        var direction: [Factor]
        /// w, the queries' energy in each head's plane.
        var weights: [Double]
        /// The row's squared norm over the calibration activations.
        var norm: Double
        /// The mean squared norm of the merged keys.
        var typical: Double
    }

    /// The best rank-1 approximation of the keys of a group's heads in plane `plane`.
    ///
    /// `gram` is K S Kᵀ over the group's heads, `queryGram` Q S Qᵀ of each query head.
    static func merged(
        _ layer: AttentionWeights, _ group: HeadGroup, gram: DenseMatrix, queryGram: [DenseMatrix], plane: Int,
        _ context: LayerContext
    ) throws -> Merged {
        let (d, width, imaginary) = (layer.headDim, layer.key.columns, plane + layer.rotaryDim / 2)
        // Bounded away from zero, so that each head's coefficient exists.
        var weights = group.heads.map { head in
            layer.queryHeads(of: head).reduce(0) { $0 + queryGram[$1][plane, plane] + queryGram[$1][imaginary, imaginary] }
        }
        let floor = max(weights.max() ?? 0, 1e-30) * 1e-8
        weights = weights.map { max($0, floor) }
        let direction = try leading(
            products(gram, heads: group.heads.count, headDim: d, rotaryDim: layer.rotaryDim, plane: plane, weights: weights))
        var rows = DenseMatrix(rows: 2, columns: width)
        for (j, head) in group.heads.enumerated() {
            let factor = direction[j].conjugate.scaled(by: weights[j].squareRoot())
            for column in 0..<width {
                let (x, y) = (layer.key[head * d + plane, column], layer.key[head * d + imaginary, column])
                rows[0, column] += factor.re * x - factor.im * y
                rows[1, column] += factor.re * y + factor.im * x
            }
        }
        let typical = (0..<group.heads.count).reduce(0.0) { sum, head in
            sum + gram[head * d + plane, head * d + plane] + gram[head * d + imaginary, head * d + imaginary]
        }
        return Merged(
            rows: rows, direction: direction, weights: weights, norm: context.gram(rows).trace,
            typical: typical / Double(group.heads.count))
    }
}
