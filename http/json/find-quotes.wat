;; The loop of find-quotes.ts: sixteen bytes at a time, with the vector instructions that JavaScript does not have.
;; A test assembles this text and compares it with the bytes in find-quotes.ts; when it fails it says what to put there.
;;
;; Memory, in bytes:      14  the two before the block, as the caller knows or fears them
;;                        16  the block, 65536 at most, and 16 that are cleared behind it
;;                     65568  what was found: offsets within the block, four bytes each
(module
  (memory (export "memory") 2)

  ;; Returns how many quotes (0x22) were found, -1 when there are more than $most. Left out is each that has a backslash
  ;; (0x5c) before it and something else before that: it is escaped for sure.
  (func (export "find") (param $length i32) (param $most i32) (result i32)
    (local $at i32) (local $end i32) (local $count i32) (local $left i32) (local $found v128)
    (local.set $at (i32.const 16))
    (local.set $end (i32.add (i32.const 16) (local.get $length)))
    ;; What an earlier block has left there is not part of this one.
    (memory.fill (local.get $end) (i32.const 0) (i32.const 16))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $found
          (v128.and
            (i8x16.eq (v128.load (local.get $at)) (i8x16.splat (i32.const 0x22)))
            (v128.or
              (i8x16.ne (v128.load (i32.sub (local.get $at) (i32.const 1))) (i8x16.splat (i32.const 0x5c)))
              (i8x16.eq (v128.load (i32.sub (local.get $at) (i32.const 2))) (i8x16.splat (i32.const 0x5c))))))
        (if (v128.any_true (local.get $found))
          (then
            (local.set $left (i8x16.bitmask (local.get $found)))
            (loop $each
              (if (i32.ge_u (local.get $count) (local.get $most)) (then (return (i32.const -1))))
              (i32.store offset=65568
                (i32.shl (local.get $count) (i32.const 2))
                (i32.sub (i32.add (local.get $at) (i32.ctz (local.get $left))) (i32.const 16)))
              (local.set $count (i32.add (local.get $count) (i32.const 1)))
              ;; Clears the lowest bit.
              (local.set $left (i32.and (local.get $left) (i32.sub (local.get $left) (i32.const 1))))
              (br_if $each (local.get $left)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.get $count)))
