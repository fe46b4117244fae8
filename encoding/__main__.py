from encoding.cli import main

raise SystemExit(main())
