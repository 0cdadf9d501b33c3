import Kernels

/// Heads seen as RoPE sees them: row i and row i + r/2 of a head are the real and the imaginary part of one complex row, and
/// multiplying it by a complex number commutes with the rotation by position. r is the head dim, or under partial rotary
/// positions the number of rows that are turned; the rest of a head has no planes.
enum HeadPlanes {
    /// A complex number.
    struct Factor: Equatable {
        var re: Double
        var im: Double

        static let one = Factor(re: 1, im: 0)
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
    /// `gram` is K S Kᵀ [heads·d, heads·d] over those heads.
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
}
