"""Work that outlives the page and the server: training, exports and publications, one at a time, in processes of their
own."""
