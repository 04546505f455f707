from entrace._program import main

main()
