"""The isolation walk, further: filters, forms, files, staff pages, tasks, caches and what silence itself tells."""
