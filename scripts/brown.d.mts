export declare function brownDocuments(): { id: string; text: string }[];
export declare function brownSplit(): { train: string; heldOut: string };
