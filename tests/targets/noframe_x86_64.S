/* Assembly without call-frame information.
 *   asm_framed(callback, arg): keeps a frame pointer, calls back: walks on by the frame pointer.
 *   asm_leaf(n): no frame at all, loops: nothing but its neighbour's rules could cross it.
 *   asm_bare(callback, arg): calls back with nothing to find its caller by, and a frame pointer that is 0. */
        .text
        .globl  asm_framed
        .type   asm_framed, @function
asm_framed:
        pushq   %rbp
        movq    %rsp, %rbp
        subq    $48, %rsp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
        leave
        ret
        .size   asm_framed, .-asm_framed

        .globl  asm_bare
        .type   asm_bare, @function
asm_bare:
        pushq   %rbp
        xorl    %ebp, %ebp
        subq    $48, %rsp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
        addq    $48, %rsp
        popq    %rbp
        ret
        .size   asm_bare, .-asm_bare

        .globl  asm_leaf
        .type   asm_leaf, @function
asm_leaf:
        movq    %rdi, %rax
1:      imulq   $3, %rax, %rax
        subq    $1, %rdi
        jnz     1b
        ret
        .size   asm_leaf, .-asm_leaf

        .section .note.GNU-stack, "", @progbits
